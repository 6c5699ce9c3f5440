"""Options whose values are parsed: what they come to, and by which name they are refused."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from swarmboot.errors import MalformedSettingError
from swarmboot.parameters import DURATION, RATE, SERVER, SIZE, Parsed, duration, size


def given(kind: Parsed, *words: str, default: str | None = None, multiple: bool = False) -> object:
    """Return what an option `--it` of a type comes to."""
    found: list[object] = []

    @click.command()
    @click.option("--it", type=kind, default=default, multiple=multiple)
    def command(it: object) -> None:
        found.append(it)

    done = CliRunner().invoke(command, words)
    if done.exception is not None:
        raise done.exception
    return found[0]


def test_texts_are_parsed_the_default_too_and_nothing_stays_nothing() -> None:
    assert given(RATE, "--it", "100mbit") == 12.5e6
    assert given(SIZE, default="64MiB") == 64 << 20
    assert given(DURATION, "--it", "2min") == 120.0
    assert given(SERVER) is None
    assert given(SERVER, "--it", "https://a:1/", "--it", "https://b", multiple=True) == ("https://a:1", "https://b")


@pytest.mark.parametrize("kind", [RATE, SIZE, DURATION, SERVER, size(1, "1 or more"), duration(0, "0 or more")])
def test_what_cannot_be_parsed_is_refused_by_the_options_name(kind: Parsed) -> None:
    with pytest.raises(MalformedSettingError, match=r"^--it is malformed: expected .*, found 'what'"):
        given(kind, "--it", "what")


def test_less_than_the_least_is_refused_with_what_may_be_given() -> None:
    assert given(size(1 << 20, "1MiB or more"), "--it", "1MiB") == 1 << 20
    with pytest.raises(MalformedSettingError, match=r"^--it is out of range: expected 1MiB or more, found 1kB$"):
        given(size(1 << 20, "1MiB or more"), "--it", "1kB")
