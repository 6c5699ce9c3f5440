"""The table of a release's hosts brought up to date from another table, and what else is written of it.

A row goes over that of the same MAC address; a second time changes nothing. Beside the table in the release it can be
written as a rack map (`serve --racks`) and as lines for dnsmasq (`serve --dhcp-conf`), each a file that nobody else
writes. All is read and checked before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from seeder.publish.nodes.hosts import Hosts, hosts_text, parse_hosts
from seeder.publish.nodes.layers import FOLDER, HOSTS
from swarmboot.errors import MalformedSettingError, ReleaseError
from swarmboot.host.files import write_whole
from swarmboot.host.text_files import read_text
from swarmboot.release.node_overlay import Host

MADE = f"# Made by `swarmboot nodes import` of {FOLDER}/{HOSTS}: change that, and import it again."
_NO_NAME_OF_DNSMASQ = re.compile(r"(?:[0-9]+[smhdw]?|infinite|ignore|[0-9]+(?:\.[0-9]+){3})\Z")
"""What dnsmasq takes for a lease's duration, an order or an address where a name may stand (option.c, --dhcp-host)."""


@dataclass(frozen=True, slots=True)
class Change:
    """A table as it is to be, and by MAC address what is new, changed and gone in it; `faults` keep it from being."""

    hosts: Mapping[str, Host]
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def is_one(self) -> bool:
        """Return whether anything is another than before."""
        return bool(self.new or self.changed or self.gone)


def change(old: Mapping[str, Host], table: Hosts, *, is_replaced: bool) -> Change:
    """Return what a table makes of the hosts that there are; with `is_replaced` those that are not in it go."""
    hosts = dict(sorted({**({} if is_replaced else old), **table.hosts}.items()))
    return Change(
        hosts,
        new=tuple(mac for mac in hosts if mac not in old),
        changed=tuple(mac for mac in hosts if mac in old and hosts[mac] != old[mac]),
        gone=tuple(mac for mac in old if mac not in hosts),
        faults=(*table.faults, *_clashes(hosts, table)),
    )


def _clashes(hosts: Mapping[str, Host], table: Hosts) -> Iterator[str]:
    """Yield a line for each name and address that a new row has from one that stays."""
    owners: dict[tuple[str, str], str] = {}
    for mac in sorted(hosts, key=lambda mac: mac in table.hosts):
        for what, value in (("name", hosts[mac].name), ("address", hosts[mac].address)):
            owner = owners.setdefault((what, value), mac) if value else mac
            if owner != mac:
                yield f"{what} {value} of {mac} is {owner}'s in the release: import a row for that too, or --replace"


def read_table(path: Path, *, profiles: frozenset[str]) -> Hosts:
    """Return the hosts of a table in a file; raise UnreadableError for a file that is no text, or not there."""
    text = read_text(path, label=str(path))
    return parse_hosts(text, where=str(path), profiles=profiles)


def old_hosts(release: Path) -> Mapping[str, Host]:
    """Return the hosts that a release has; raise ReleaseError if its table is wrong."""
    path = release / FOLDER / HOSTS
    if not path.is_file():
        return {}
    table = parse_hosts(read_text(path, label=str(path)), where=str(path))
    if table.faults:
        raise ReleaseError(table.faults[0], hint="correct it, or take the file away and import all hosts again")
    return table.hosts


def rack_map_text(hosts: Mapping[str, Host]) -> str:
    """Return the rack map of the hosts that have a rack."""
    lines = (f"{mac} {host.rack} {host.profile}".rstrip() for mac, host in sorted(hosts.items()) if host.rack)
    return "".join(f"{line}\n" for line in (MADE, *lines))


def dhcp_text(hosts: Mapping[str, Host]) -> str:
    """Return what dnsmasq gives the hosts that have an address or a name (dnsmasq(8), --dhcp-host).

    A name that it would take for something else is left out.
    """
    said = {
        mac: (
            f"[{host.address}]" if ":" in host.address else host.address,
            "" if _NO_NAME_OF_DNSMASQ.match(host.name) else host.name,
        )
        for mac, host in sorted(hosts.items())
    }
    lines = (f"dhcp-host={','.join((mac, *filter(None, words)))}" for mac, words in said.items() if any(words))
    return "".join(f"{line}\n" for line in (MADE, *lines))


def dhcp_notes(hosts: Mapping[str, Host]) -> list[str]:
    """Return a line for each name that is left out of `dhcp_text`."""
    return [
        f"name {host.name} of {mac} is left out for DHCP: dnsmasq would not take it for a name; its node has it still"
        for mac, host in sorted(hosts.items())
        if _NO_NAME_OF_DNSMASQ.match(host.name)
    ]


def check_apart(release: Path, *others: Path) -> None:
    """Raise MalformedSettingError for a file that two things would be written into, the release's table among them."""
    known: set[Path] = {(release / FOLDER / HOSTS).resolve()}
    for path in others:
        if path.resolve() in known:
            raise MalformedSettingError(
                f"{path} is named for two things", expected="a file of its own for each", hint="name another file"
            )
        known.add(path.resolve())


def check_ours(path: Path) -> None:
    """Raise ReleaseError for a file that is there and that somebody else has written."""
    if path.exists() and not path.read_bytes().startswith(MADE.encode()):
        raise ReleaseError(
            f"{path} was not made by `nodes import`, and is kept", hint="name another file, or remove it"
        )


def write_beside(path: Path, text: str) -> None:
    """Write a file that `check_ours` has let pass, unless it says so already."""
    if not path.is_file() or path.read_text() != text:
        write_whole(path, text.encode(), mode=0o644)


def write_table(release: Path, hosts: Mapping[str, Host]) -> Path:
    """Write the table into the release, whole or not at all, and return its path."""
    path = release / FOLDER / HOSTS
    path.parent.mkdir(exist_ok=True)
    write_whole(path, hosts_text(hosts).encode(), mode=0o644)
    return path
