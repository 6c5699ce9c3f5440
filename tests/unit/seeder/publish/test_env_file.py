"""env/*.env is data: read in one way, never run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.publish.env_file import parse_env
from swarmboot.errors import ReleaseError


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("KEY=value", "value"),
        ("KEY=", ""),
        ("  KEY=value", "value"),
        ("KEY= value  ", "value"),
        ('KEY="two words"', "two words"),
        ("KEY='  kept  '", "  kept  "),
        ('KEY=""', ""),
        ('KEY="it\'s"', "it's"),
        ("KEY=a#b # c", "a#b # c"),
        ("KEY=$HOME `id` $(id) \\n", "$HOME `id` $(id) \\n"),
        ("KEY=a=b", "a=b"),
        ("KEY=a\tb", "a\tb"),
        ("KEY=grüße", "grüße"),
        ("KEY=value\r", "value"),
    ],
)
def test_a_value_is_what_stands_after_the_equals_sign(line: str, value: str) -> None:
    assert parse_env(line, where="a.env") == {"KEY": value}


def test_blank_lines_and_comments_are_passed_over_and_the_last_of_a_name_wins() -> None:
    assert parse_env("\n# first\n  # second\nA=1\n\nB=2\nA=3\n", where="a.env") == {"A": "3", "B": "2"}


@pytest.mark.parametrize(
    "line",
    [
        "just words",
        "KEY = value",
        "=value",
        "1KEY=value",
        "KEY-A=1",
        "export KEY=value",
        "KEY='a",
        'KEY="a"b',
        "KEY='a'b'",
        "A=\x00",
        "A=\x1b[m",
    ],
)
def test_a_bad_line_is_refused_with_its_file_and_number(line: str) -> None:
    with pytest.raises(ReleaseError, match=r"^env/a\.env:3 is no setting"):
        parse_env(f"# comment\nGOOD=1\n{line}\n", where="env/a.env")


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_env(text, where="a.env")
    except ReleaseError:
        return
    assert all("\n" not in value and "\0" not in value for value in found.values())


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text("ab #$='\\", max_size=9)))
def test_what_is_written_in_quotes_comes_back(settings: dict[str, str]) -> None:
    text = "".join(f'{key}="{value}"\n' for key, value in settings.items())
    assert parse_env(text, where="a.env") == settings
