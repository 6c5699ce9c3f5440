"""The verbs `swarmboot status`, `nodes`, `why` and `history`: what an operator asks; nothing here changes anything.

`nodes` has a verb of its own below it, which brings the table of hosts up to date.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from seeder.console import layout
from seeder.console.hosts_cli import import_hosts
from seeder.console.source import Source, answer, find_source
from swarmboot.printable import printable
from swarmboot.text.spelling import did_you_mean
from swarmboot.verbs import Verbs

WATCH_S = 1.0
_WIDE = 10_000
"""A pipe has no width."""

_ALARMS = ("!", "?", "FAILED", "STUCK")
F = TypeVar("F", bound=Callable[..., Any])


def reading(command: F) -> F:
    """Add the options that say where to read and how to print."""
    for option in (
        click.option("--json", "is_json", is_flag=True, help="Print what the API answers, for programs."),
        click.option(
            "--state",
            type=click.Path(path_type=Path),
            help="State folder of a seeder on this machine. [default: as of serve]",
        ),
        click.option(
            "--token-file", type=click.Path(path_type=Path), metavar="FILE", help="What serve has as --ui-token."
        ),
        click.option("--ca", type=click.Path(path_type=Path), metavar="FILE", help="The server's ca.pem."),
        click.option(
            "--server", default="", metavar="URL", help="A running seeder. [default: the one on this machine]"
        ),
    ):
        command = option(command)
    return command


@click.command()
@reading
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
def status(
    server: str, ca: Path | None, token_file: Path | None, state: Path | None, is_json: bool, watch: bool
) -> None:
    """Show how the fleet boots, on one screen.

    \b
    Example:
      swarmboot status --watch
      swarmboot status --server https://10.0.0.1:8470 --ca ca.pem --token-file ui.token
    """
    source = find_source(server=server, ca=ca, token_file=token_file, state=state)
    while True:
        fleet = source.fleet()
        if is_json:
            _print_json(fleet)
        else:
            size = shutil.get_terminal_size()
            _show(
                layout.status(fleet, where=source.where, width=_width(), height=size.lines if watch else 0),
                is_cleared=watch,
            )
        if not watch:
            return
        time.sleep(WATCH_S)


@click.group(cls=Verbs, invoke_without_command=True)
@reading
@click.option("--failed", "wanted", flag_value="failed", help="Only nodes that said why they cannot boot.")
@click.option("--stuck", "wanted", flag_value="stuck", help="Only nodes that take too long, or were turned away.")
@click.option("--booting", "wanted", flag_value="booting", help="Only nodes on their way.")
@click.option("--up", "wanted", flag_value="up", help="Only nodes that are up.")
@click.option("--gone", "wanted", flag_value="gone", help="Only nodes that have left or are silent.")
@click.option("--rack", help="Only nodes of this rack.")
@click.pass_context
def nodes(
    context: click.Context,
    server: str,
    ca: Path | None,
    token_file: Path | None,
    state: Path | None,
    is_json: bool,
    wanted: str | None,
    rack: str | None,
) -> None:
    """List nodes, failed and stuck ones first, each with its likely cause.

    \b
    Example:
      swarmboot nodes --stuck
      swarmboot nodes --rack r12 --json
      swarmboot nodes import hosts.csv release/
    """
    if context.invoked_subcommand is not None:
        return
    source = find_source(server=server, ca=ca, token_file=token_file, state=state)
    found = source.nodes(state=wanted or "", rack=rack)
    nobody = "no node is like that" if wanted or rack else "no node was heard of yet"
    _print(found, is_json, partial(layout.nodes, nobody=nobody), source)
    if rack and not found["nodes"]:
        known = sorted({node["rack"] for node in source.nodes(state="", rack=None)["nodes"]} - {""})
        if rack not in known:
            meant = did_you_mean(rack, known, otherwise=f"there are {', '.join(known) or 'no racks'}")
            print(printable(f"swarmboot: no node is in rack {rack}; {meant}"), file=sys.stderr)


nodes.add_command(import_hosts)


@click.command()
@click.argument("node")
@reading
def why(node: str, server: str, ca: Path | None, token_file: Path | None, state: Path | None, is_json: bool) -> None:
    """Tell one boot's story: its phases, what went wrong, the likely cause, what to do.

    NODE is a MAC address, an address, a host name, or the beginning of an id.

    \b
    Example:
      swarmboot why 10.0.3.7
      swarmboot why 52:54:00:12:34:56 --json
    """
    source = find_source(server=server, ca=ca, token_file=token_file, state=state)
    _print(answer(source, source.story, node), is_json, layout.story, source)


@click.command()
@reading
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many boots.")
def history(
    server: str, ca: Path | None, token_file: Path | None, state: Path | None, is_json: bool, limit: int
) -> None:
    """List boots, the latest first, also of machines that are gone.

    \b
    Example:
      swarmboot history --limit 20
    """
    source = find_source(server=server, ca=ca, token_file=token_file, state=state)
    _print(source.history(limit=limit), is_json, layout.history, source)


def _print(values: dict[str, Any], is_json: bool, lay_out: Callable[..., list[str]], source: Source) -> None:
    if is_json:
        _print_json(values)
        return
    if not source.where.startswith("http"):
        print(f"swarmboot: {source.where}", file=sys.stderr)
    _show(lay_out(values, width=_width()))


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(values, ensure_ascii=True), flush=True)


def _width() -> int:
    """Return the terminal's width, that of COLUMNS, or no bound where there is neither."""
    is_bounded = sys.stdout.isatty() or "COLUMNS" in os.environ
    return shutil.get_terminal_size().columns if is_bounded else _WIDE


def _show(lines: Iterable[str], *, is_cleared: bool = False) -> None:
    """Print lines, bold where something is wrong, unless NO_COLOR (no-color.org) or a dumb terminal forbids it."""
    is_styled = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    text = "\n".join(click.style(line, bold=True) if is_styled and line.startswith(_ALARMS) else line for line in lines)
    encoding = sys.stdout.encoding or "ascii"
    text = text.encode(encoding, "replace").decode(encoding)
    print(f"\033[H\033[J{text}" if is_cleared and sys.stdout.isatty() else text, flush=True)
