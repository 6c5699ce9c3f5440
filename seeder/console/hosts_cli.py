"""`swarmboot nodes import`. Click and words only; the work is elsewhere."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swarmboot.errors import ReleaseError, UnreadableError
from swarmboot.host.folder_lock import alone_in
from swarmboot.parameters import JSON
from swarmboot.printable import printable

if TYPE_CHECKING:
    from seeder.publish.nodes.table import Change
    from swarmboot.release.node_overlay import Host

_PATH = click.Path(path_type=Path)
_SHOWN = 20


@click.command("import")
@click.argument("table", type=_PATH)
@click.argument("release", type=_PATH, default=Path("release"))
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would change, and every row that is wrong.")
@click.option("--replace", "is_replaced", is_flag=True, help="Drop the hosts that are not in TABLE.")
@click.option("--rack-map", type=_PATH, metavar="FILE", help="Write racks and profiles for serve --racks too.")
@click.option("--dhcp-conf", type=_PATH, metavar="FILE", help="Write names and addresses for serve --dhcp-conf too.")
@JSON
def import_hosts(
    table: Path, release: Path, is_dry: bool, is_replaced: bool, rack_map: Path | None, dhcp_conf: Path | None,
    is_json: bool,
) -> None:  # fmt: skip
    """Bring the table of hosts of RELEASE (`release` without it) up to date from TABLE, a CSV file with a header.

    Columns are mac, name, rack, profile, address, environment (KEY=value words); mac alone must be there. A row goes
    over that of the same MAC address. If one is wrong nothing is written, and every wrong one is said. Publish RELEASE
    then.

    \b
    Example:
      swarmboot nodes import hosts.csv release/ --dry-run
      swarmboot nodes import hosts.csv release/ --rack-map racks.map --dhcp-conf hosts.conf
    """
    from seeder.publish.nodes import table as work
    from seeder.publish.release_dir import read_profiles

    is_site = (release / "manifests").is_dir() and (release / "channels").is_dir()
    if is_site or not release.is_dir():
        raise UnreadableError(
            f"{release} is no release", expected="its folder", found="a published site" if is_site else "",
            hint="swarmboot nodes import TABLE RELEASE",
        )  # fmt: skip
    others: list[tuple[Path, Callable[[Mapping[str, Host]], str]]] = []
    others += [(rack_map, work.rack_map_text)] if rack_map else []
    others += [(dhcp_conf, work.dhcp_text)] if dhcp_conf else []
    work.check_apart(release, *(path for path, _ in others))
    rows = work.read_table(table, profiles=read_profiles(release))
    with alone_in(release):  # what another import has written since would be gone
        for path, _ in others:
            work.check_ours(path)
        found = work.change(work.old_hosts(release), rows, is_replaced=is_replaced)
        if found.faults:
            _refuse(found, is_json=is_json)
        if not is_dry:
            if found.is_one:
                work.write_table(release, found.hosts)
            for path, text in others:
                work.write_beside(path, text(found.hosts))
    notes = work.dhcp_notes(found.hosts) if dhcp_conf else []
    _say(found, release, notes, is_dry=is_dry, is_json=is_json)


def _refuse(found: Change, *, is_json: bool) -> None:
    """Say every fault and raise ReleaseError."""
    for fault in found.faults if not is_json else ():
        click.echo(printable(fault), err=True)
    number = len(found.faults)
    what = found.faults[0] if is_json else f"{number} {'row is' if number == 1 else 'rows are'} wrong"
    raise ReleaseError(f"nothing was imported: {what}", hint="correct the table and import it again")


def _say(found: Change, release: Path, notes: list[str], *, is_dry: bool, is_json: bool) -> None:
    if is_json:
        value = {"hosts": len(found.hosts), "new": found.new, "changed": found.changed, "gone": found.gone}
        click.echo(json.dumps({**value, "notes": notes, "is_dry": is_dry}))
        return
    for note in notes:
        click.echo(f"note: {printable(note)}")
    for word, macs in (("new", found.new), ("changed", found.changed), ("gone", found.gone)):
        for mac in macs[:_SHOWN]:
            name = found.hosts[mac].name if mac in found.hosts else ""
            click.echo(printable(f"{word:8} {mac} {name}".rstrip()))
        if len(macs) > _SHOWN:
            click.echo(f"{word:8} {len(macs) - _SHOWN} more")
    hosts = f"{len(found.hosts)} {'host' if len(found.hosts) == 1 else 'hosts'}"
    counts = f"{len(found.new)} new, {len(found.changed)} changed, {len(found.gone)} gone"
    click.echo(f"{release / 'nodes/hosts.csv'}: {hosts}, {counts}{'; nothing was written' if is_dry else ''}")
    if found.is_one and not is_dry:
        click.echo(f"give it to nodes: swarmboot publish {shlex.quote(str(release))}")
