"""Manual pages of every verb, made from what its help says: `python -m swarmboot.man_pages FOLDER`, for packages.

man(7) with the macros that groff and mandoc share. Of libraries, click-man looks into a group's own table, where verbs
that are entry points are not, and help2man reads again what click has already laid out for a terminal.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import click

from swarmboot import __version__
from swarmboot.cli import swarmboot

_WIDTH, _LONG_WORD = 76, 24
_SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}
_VERBATIM = "\b"
_EXITS = (
    ("0", "done"), ("2", "the command line is not understood"), ("10 to 19", "trust: keys, signatures, ends"),
    ("20 to 29", "transfer: nobody answers, or not as asked"), ("30 to 39", "integrity: other bytes than were signed"),
    ("40 to 49", "settings"), ("50 to 59", "releases and sites"), ("60 to 69", "this machine lacks something"),
    ("130", "stopped by the user"),
)  # fmt: skip


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all below it, each with its name's words."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from walk(below, (*path, name))


def man_page(command: click.Command, path: tuple[str, ...], *, day: str, also: tuple[str, ...] = ()) -> str:
    """Return the page of a command. `day` is its date, `also` are pages to see beside it."""
    context = click.Context(command, info_name=" ".join(path))
    name = "-".join(path)
    first, *more = _paragraphs(command.help or "")
    usage = " ".join(command.collect_usage_pieces(context))
    title = f'.TH "{_escaped(name.upper())}" "1" "{day}" "swarmboot {__version__}" "swarmboot"'
    lines = [title, ".nh", ".ad l", ".SH NAME", *_named_for(name, first)]
    lines += [".SH SYNOPSIS", f".B {_escaped(' '.join(path))}", *_filled(usage), ".SH DESCRIPTION", *_filled(first)]
    for paragraph in more:
        lines += _block(paragraph)
    lines += [*_below(command, context), *_options(command, context), *_environment(command)]
    lines += [".SH EXIT STATUS"]
    for status, meaning in _EXITS:
        lines += [".TP", f".B {status}", *_filled(meaning)]
    if also:
        lines += [".SH SEE ALSO", *(f".BR {_escaped(each)} (1){',' if each != also[-1] else ''}" for each in also)]
    return "\n".join(lines) + "\n"


def _named_for(name: str, first: str) -> list[str]:
    """Return the line by which whatis(1) finds a page; it may be long, and mandoc asks for lines of 80 bytes."""
    begin, *more = _filled(" ".join(first.split()).removesuffix("."), width=_WIDTH - len(name) * 2)
    return [f"{_escaped(name)} \\- {begin}", *more]


def _paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a help text; one that begins with a backspace is kept line by line, as click does."""
    return [each.strip("\n") for each in re.split(r"\n[ \t]*\n", text.strip()) if each.strip()] or [""]


def _block(paragraph: str) -> Iterator[str]:
    head, _, rest = paragraph.partition("\n")
    if head.strip() != _VERBATIM:
        yield from (".PP", *_filled(paragraph))
        return
    lines = rest.splitlines()
    if lines and lines[0].strip() == "Example:":
        lines = lines[1:]
        yield ".SH EXAMPLE"
    else:
        yield ".PP"
    yield ".nf"
    yield from (_no_request(_escaped(line)) for line in textwrap.dedent("\n".join(lines)).splitlines())
    yield ".fi"


def _below(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from (".TP", f".B {_escaped(name)}", *_filled(below.get_short_help_str(limit=200)))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    yield ".SH OPTIONS"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:  # an argument has none before click 8.4
            names, said = record
            yield from (".TP", _named(names), *_filled(said))


def _named(names: str) -> str:
    """Return an option's names as they are typed, in bold, and what stands for its values in italics."""
    return " ".join(
        f"\\fB{_escaped(word)}\\fR" if word.startswith("-") else f"\\fI{_breakable(_escaped(word))}\\fR"
        for word in names.split()
    )


def _environment(command: click.Command) -> Iterator[str]:
    known = [(each.envvar, max(each.opts, key=len)) for each in command.params if isinstance(each.envvar, str)]
    if known:
        yield ".SH ENVIRONMENT"
    for variable, option in known:
        yield from (".TP", f".B {_escaped(variable)}", f"as {_escaped(option)}")


def _filled(text: str, *, width: int = _WIDTH) -> list[str]:
    """Return a paragraph as lines of input, none of which is taken for a request; long words may be broken."""
    words = " ".join(_breakable(_escaped(word)) for word in text.split())
    lines = textwrap.wrap(words, width, break_on_hyphens=False, break_long_words=False)
    return [_no_request(line) for line in lines]


def _breakable(word: str) -> str:
    """Return a word that may be broken after its slashes, commas and bars, if it is long."""
    return re.sub(r"(?<=\w)([/,|])(?=\w)", r"\1\\:", word) if len(word) > _LONG_WORD else word


def _no_request(line: str) -> str:
    return f"\\&{line}" if line.startswith(".") else line


def _escaped(text: str) -> str:
    """Return text as roff takes it: what it would make typographic stays as it is typed (man(7), groff_char(7))."""
    return "".join(
        _SPECIAL.get(sign, sign if sign.isascii() else f"\\[u{ord(sign):04X}]") for sign in text if sign != _VERBATIM
    )


def write_pages(folder: Path, *, day: str) -> list[Path]:
    """Write every page into a folder and return their paths."""
    pages = dict(walk(swarmboot, ("swarmboot",)))
    written = []
    for path, command in pages.items():
        also = tuple("-".join(each) for each in pages if each != path and each[: len(path)] == path)
        text = man_page(command, path, day=day, also=also or ("-".join(path[:-1]),))
        written.append(folder / f"{'-'.join(path)}.1")
        written[-1].write_text(text)
    return written


if __name__ == "__main__":
    into = Path(sys.argv[1])
    into.mkdir(parents=True, exist_ok=True)
    write_pages(
        into, day=time.strftime("%Y-%m-%d", time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    )
