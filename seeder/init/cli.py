"""The verb `swarmboot init`: what a server needs before its first release, found out and made. Click and words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from seeder.init.first import First, Made, made_first, next_commands, notes_of_what_was_kept, plan_first
from swarmboot.errors import PrivilegeError
from swarmboot.parameters import JSON

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--pxe", default=None, metavar="INTERFACE[,proxy]",
              help="Where bare machines are; empty for none.  [default: found out, as said above]")  # fmt: skip
@click.option("--dhcp-range", default="", metavar="FIRST,LAST[,DURATION]",
              help="The addresses to give out there.  [default: the longest run that nobody is seen in]")  # fmt: skip
@click.option("--folder", type=_PATH, default=Path("/srv/swarmboot"), show_default=True, metavar="DIR",
              help="Folder of releases and the site.")  # fmt: skip
@click.option("--root", type=_PATH, default=Path("/"), show_default=True, metavar="DIR",
              help="Put everything under this folder, to look at it.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be made and make nothing.")
@JSON
def init(pxe: str | None, dhcp_range: str, folder: Path, root: Path, dry_run: bool, is_json: bool) -> None:
    """Make this machine a server: folders, keys, authority, options and a service. Start nothing.

    What can be found out is not asked: the interface is one with a link that does not lead out of here, if there is
    one; where another server answers DHCP this one stands beside it (proxy), else it gives out addresses that nobody is
    seen to have. Whatever is there stays as it is, so it may be run again, and keys are never made anew.

    \b
    Example:
      sudo swarmboot init --dry-run
      sudo swarmboot init
      sudo swarmboot init --pxe eth1 --dhcp-range 10.0.0.100,10.0.0.250
    """
    if root == Path("/") and os.geteuid() != 0 and not dry_run:
        raise PrivilegeError("a server is set up by root", hint="run `sudo swarmboot init`, or look: --dry-run")
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - in the file of options it would begin where that is
    first = plan_first(pxe, dhcp_range, folder=folder, root=root)
    steps = made_first(first, is_dry=dry_run)
    notes = [*first.notes, *notes_of_what_was_kept(first, steps)]
    _tell(first, steps, notes, is_dry=dry_run, is_json=is_json)


def _tell(first: First, steps: list[Made], notes: list[str], *, is_dry: bool, is_json: bool) -> None:
    commands = next_commands(first)
    if is_json:
        made = {state: [str(step.path) for step in steps if step.state == state] for state in ("made", "kept")}
        found = {"pxe": first.pxe, "dhcp_range": first.dhcp_range, "notes": notes}
        click.echo(json.dumps({**made, **found, "next": commands}))
        return
    for step in steps:
        word = {"made": "would make" if is_dry else "made", "kept": "kept"}[step.state]
        click.echo(f"{word:<11}{step.path}: {step.what}")
    for note in notes:
        click.echo(f"note: {note}")
    click.echo("next:")
    for command in commands:
        click.echo(f"  {command}")
