"""All verbs that there are, found by walking the commands: facts as JSON, and typing mistakes understood."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from swarmboot.cli import swarmboot
from tests.support.commands import Done, run

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


def check_is_one_line(done: Done) -> None:
    """Check that a wrong command line was refused as all else is, with the status that programs have for it."""
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("swarmboot: ")
    assert "--help" in done.err


@pytest.mark.parametrize("path", [path for path in FOUND if path], ids=" ".join)
def test_a_verb_that_is_mistyped_is_answered_with_the_one_that_is_meant(path: tuple[str, ...]) -> None:
    done = run(*path[:-1], swapped(path[-1]))
    check_is_one_line(done)
    meant = {path[-1], ALIKE.get(path[-1], path[-1])}
    assert any(f"did you mean {word}?" in done.err for word in meant)


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_an_option_that_is_mistyped_is_answered_with_the_one_that_is_meant(path: tuple[str, ...]) -> None:
    is_of_serve = path[0] == "unit"  # which hands on what comes after the site
    flag = max(flags_of(VERBS["serve",] if is_of_serve else VERBS[path]), key=len)
    done = run(*path, *(["site"] if is_of_serve else []), swapped(flag))
    check_is_one_line(done)
    assert f"did you mean {flag}?" in done.err


def test_what_is_like_no_verb_is_refused_without_a_guess() -> None:
    done = run("wibble")
    check_is_one_line(done)
    assert done.err == "swarmboot: swarmboot has no verb wibble; `swarmboot --help` says more\n"


NEEDY = [path for path in VERBS if any(each.required for each in VERBS[path].params)]


@pytest.mark.parametrize("path", NEEDY, ids=" ".join)
def test_what_a_verb_needs_and_is_not_given_is_named_in_one_line(path: tuple[str, ...]) -> None:
    done = run(*path)
    check_is_one_line(done)
    assert re.match(rf"swarmboot: swarmboot {' '.join(path)} needs (--|\[)?[A-Za-z].*: expected ", done.err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("publish x --nodes y", "--nodes is malformed: expected a whole number from 0, found y; "),
        ("publish x --nodes -3", "--nodes is malformed: expected a whole number from 0, found -3; "),
        ("pin x 0", "NUMBER... is malformed: expected a whole number from 1 to 999999999999999, found 0; "),
        ("pxe config --pxe x --for y", "--for is malformed: expected one of dnsmasq, isc, kea, found y; "),
        (
            "pxe config --pxe x --port 99999",
            "--port is malformed: expected a whole number from 1 to 65535, found 99999; ",
        ),
        ("unit show x --lisen y", "swarmboot serve has no option --lisen; did you mean --listen? "),
        ("verify a b c --trust x", "swarmboot verify takes no more arguments: expected swarmboot verify [OPTIONS] "),
        ("pxe config --pxe", "--pxe needs a value; "),
        ("publish --check=1 x", "--check takes no value; "),
        ("pxe chainload 10.0.0.1", "one of --grub, --ipxe and --usb FILE must be there, and one alone"),
        ("serve --dhcp-conf /none", "--dhcp-conf cannot be used: File '/none' does not exist; "),
        ("publish x --chan\nel y", "swarmboot publish has no option --chan el; did you mean --channel? "),
        (
            "serve --log-format \x1bq",
            "--log-format is malformed: expected one of text, json, bare, found \\x1bq; ",
        ),
    ],
)
def test_what_a_verb_does_not_take_is_one_line_with_what_it_does(words: str, said: str) -> None:
    done = run(*words.split(" "))
    check_is_one_line(done)
    assert done.err.startswith(f"swarmboot: {said}")


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
