"""The verb `swarmboot logs`: what a node has said, handed in by itself, or by syslog and netconsole."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from seeder.console.cli import reading
from seeder.console.source import answer, find_source
from swarmboot.printable import printable

FOLLOW_S = 1.0


@click.command()
@click.argument("node")
@reading
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines as they come, until Ctrl-C.")
def logs(
    node: str, server: str, ca: Path | None, token_file: Path | None, state: Path | None, is_json: bool, follow: bool
) -> None:
    """Show what a node has said: its firmware, its kernel, its system.

    NODE is a MAC address, an address, a host name, or the beginning of an id. Nodes hand in their kernel's log and
    swarmboot's lines by themselves; `serve --syslog` and `--netconsole` bring what is said before and beside that.

    \b
    Example:
      swarmboot logs 10.0.3.7 -f
    """
    source = find_source(server=server, ca=ca, token_file=token_file, state=state)
    shown: frozenset[str] = frozenset()
    while True:
        values = answer(source, source.logs, node)
        new = [line for line in values["lines"] if line not in shown]
        if is_json and not follow:
            print(json.dumps(values), flush=True)
        else:
            for line in new:
                print(json.dumps({"node": node, "line": line}) if is_json else printable(line), flush=True)
        if not follow:
            if not values["lines"] and not is_json:
                print(f"swarmboot: nothing that {printable(node)} has said is kept here", file=sys.stderr)
            return
        shown = frozenset(values["lines"])  # what is handed in late stands before what was shown
        time.sleep(FOLLOW_S)
