"""All verbs that there are, found by walking the commands: facts as JSON, and typing mistakes understood."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from swarmboot.cli import swarmboot

STREAMS: dict[tuple[str, ...], str] = {("serve",): "--log-format", ("fetch",): "--progress"}
"""Verbs that go on and on, and what makes each of their lines JSON."""


def walk(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every verb that does something, and the groups on the way."""
    context = click.Context(group)
    yield path, group
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))
        else:
            yield (*path, name), command


FOUND = dict(walk(swarmboot))
VERBS = {
    path: command
    for path, command in FOUND.items()
    if not isinstance(command, click.Group) or (command.invoke_without_command and path)
}
GROUPS = [path for path, command in FOUND.items() if isinstance(command, click.Group)]


def flags_of(command: click.Command) -> set[str]:
    return {flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")}


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_verb_prints_its_facts_as_json(path: tuple[str, ...]) -> None:
    assert STREAMS.get(path, "--json") in flags_of(VERBS[path])


def test_the_walk_finds_what_there_is() -> None:
    assert {("serve",), ("why",), ("hook", "install"), ("unit", "show"), ("pxe", "config"), ("lab", "chaos")} < set(
        VERBS
    )
    assert len(VERBS) >= 25


ALIKE = {"release": "releases", "releases": "release"}
"""Verbs that are one letter apart: a misspelling of one may mean the other."""


def swapped(word: str) -> str:
    """Return a word as hasty fingers type it."""
    return f"{word[:-2]}{word[-1]}{word[-2]}" if word[-1] != word[-2] else word[:-1]


@pytest.mark.parametrize("path", [path for path in FOUND if path], ids=" ".join)
def test_a_verb_that_is_mistyped_is_answered_with_the_one_that_is_meant(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(swarmboot, [*path[:-1], swapped(path[-1])])
    assert done.exit_code == 2
    meant = {path[-1], ALIKE.get(path[-1], path[-1])}
    assert any(f"Did you mean {word}?" in done.output for word in meant)


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_an_option_that_is_mistyped_is_answered_with_the_one_that_is_meant(path: tuple[str, ...]) -> None:
    is_of_serve = path[0] == "unit"  # which hands on what comes after the site
    flag = max(flags_of(VERBS["serve",] if is_of_serve else VERBS[path]), key=len)
    done = CliRunner().invoke(swarmboot, [*path, *(["site"] if is_of_serve else []), swapped(flag)])
    assert done.exit_code == 2
    assert "mean" in done.output or "Possible options" in done.output
    assert flag in done.output


def test_what_is_like_no_verb_is_refused_without_a_guess() -> None:
    done = CliRunner().invoke(swarmboot, ["wibble"])
    assert "No such command 'wibble'." in done.output
    assert "mean" not in done.output.lower()


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(path) or "swarmboot")
def test_a_list_of_verbs_says_all_of_what_each_does(path: tuple[str, ...]) -> None:
    listed = CliRunner().invoke(swarmboot, [*path, "--help"]).output.partition("\nCommands:\n")[2]
    for verb, command in FOUND.items():
        if verb and verb[:-1] == path:
            assert (command.help or "").strip().partition("\n")[0].removesuffix(".") in " ".join(listed.split())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: " ".join(path) or "swarmboot")
def test_every_help_has_an_example(path: tuple[str, ...]) -> None:
    assert re.search(r"^\s*(Examples?\b|Begin with:)", FOUND[path].help or "", re.MULTILINE)


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_a_help_says_what_an_argument_that_may_be_left_out_is_then(path: tuple[str, ...]) -> None:
    optional = [each for each in VERBS[path].params if isinstance(each, click.Argument) and each.default is not None]
    is_said = re.search(r"\bwithout\s+it\b", VERBS[path].help or "", re.IGNORECASE)
    assert is_said or not [each for each in optional if not each.required and each.nargs == 1]
