"""The table of hosts, `nodes/hosts.csv`: which machine is called what, where it stands, what it gets.

    mac,name,rack,profile,address,environment
    52:54:00:12:34:56,web-1,r12,gpu,10.0.0.5,ROLE=web LOG=debug

Columns go by the header, in any order; `mac` alone must be there. Spreadsheets write a byte order mark, semicolons and
tabs as well, which are understood. `environment` is words of KEY=value, quoted as a shell reads them (shlex). Every
row that is wrong is said, with its line. Pure: text to values and back.
"""

from __future__ import annotations

import csv
import io
import ipaddress
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from swarmboot.release.node_overlay import MAX_HOSTS, Host, is_host_name, is_label
from swarmboot.text.addresses import read_address
from swarmboot.text.spelling import did_you_mean

COLUMNS = ("mac", "name", "rack", "profile", "address", "environment")
_DELIMITERS = ",;\t"
_SHOWN = 60
_FIELD_MAX = 4096
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of a table by MAC address (lower case, colons), and what is wrong with it, a line each."""

    hosts: Mapping[str, Host]
    faults: tuple[str, ...] = ()


class _RowError(ValueError):
    """Occurs when a cell is not what its column takes."""


def parse_hosts(text: str, *, where: str, profiles: Collection[str] | None = None) -> Hosts:
    """Return the hosts in a table's text; `profiles` are those that there are, None where that is not known."""
    text = text.removeprefix("\ufeff")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found: dict[str, Host] = {}
    faults: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    columns: list[str] = []
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if not columns:
                columns = [cell.strip().lower() for cell in row]
                faults = [f"{where}:{rows.line_num}: {fault}" for fault in _header_faults(columns)]
                if faults:
                    return Hosts({}, tuple(faults))
                continue
            try:
                mac, host = _host(_cells(columns, row), profiles)
                _check_new(mac, host, seen, rows.line_num)
                found[mac] = host
            except _RowError as error:
                faults.append(f"{where}:{rows.line_num}: {error}")
    except csv.Error as error:
        faults.append(f"{where}:{rows.line_num}: no table: {error}")
    if not columns:
        faults.append(f"{where}: no header; its first line names the columns: {','.join(COLUMNS)}")
    if len(found) > MAX_HOSTS:
        faults.append(f"{where}: {len(found)} hosts, at most {MAX_HOSTS} are taken")
    return Hosts(found, tuple(faults))


def _header_faults(columns: list[str]) -> Iterator[str]:
    for name in columns:
        if name not in COLUMNS and name:
            hint = did_you_mean(name, COLUMNS, otherwise=f"known are {', '.join(COLUMNS)}")
            yield f"the column {name[:_SHOWN]!r} is none; {hint}"
    for name in sorted({name for name in columns if name and columns.count(name) > 1}):
        yield f"the column {name} is there twice"
    if "mac" not in columns:
        yield f"no column mac; the first line names the columns: {','.join(COLUMNS)}"


def _cells(columns: list[str], row: list[str]) -> dict[str, str]:
    if len(row) > len(columns) and any(cell.strip() for cell in row[len(columns) :]):
        raise _RowError(f"{len(row)} cells, the header has {len(columns)}: put quotes around a cell with a comma in it")
    return {name: cell.strip() for name, cell in zip(columns, row, strict=False) if name}


def _host(cells: Mapping[str, str], profiles: Collection[str] | None) -> tuple[str, Host]:
    mac = canonical_mac(cells.get("mac", ""))
    if not mac:
        raise _RowError(f"mac {cells.get('mac', '')[:_SHOWN]!r} is none; expected as in 52:54:00:12:34:56")
    name = cells.get("name", "").lower()
    if name and not is_host_name(name):
        raise _RowError(f"name {name[:_SHOWN]!r} is no host name; expected letters, digits and dashes")
    for column in ("rack", "profile"):
        if cells.get(column) and not is_label(cells[column]):
            raise _RowError(f"{column} {cells[column][:_SHOWN]!r} is none; expected letters, digits and ._:-")
    profile = cells.get("profile", "")
    if profile and profiles is not None and profile not in profiles:
        there = f"release.toml has {', '.join(sorted(profiles)) or 'none'}"
        hint = did_you_mean(profile, sorted(profiles), otherwise=there)
        raise _RowError(f"profile {profile} is none of the release's; {hint}")
    env = _environment(cells.get("environment", ""))
    return mac, Host(name, cells.get("rack", ""), profile, _address(cells.get("address", "")), env)


def canonical_mac(text: str) -> str:
    """Return a MAC address in lower case with colons, however it was written; nothing for what is none of a card's."""
    digits = re.sub(r"[:.\-]", "", text.strip().lower())
    if not re.fullmatch(r"[0-9a-f]{12}", digits) or int(digits[:2], 16) & 1 or not int(digits, 16):
        return ""
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _address(text: str) -> str:
    if not text:
        return ""
    try:
        address = ipaddress.ip_address(read_address(text))  # a scope (RFC 4007) can be any text at all
    except ValueError as error:
        expected = "expected as in 10.0.0.5, without a prefix or a scope"
        raise _RowError(f"address {text[:_SHOWN]!r} is none; {expected}") from error
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise _RowError(f"address {text} is none that a node can have")
    return str(address)


def _environment(text: str) -> dict[str, str]:
    if len(text) > _FIELD_MAX:
        raise _RowError(f"environment has {len(text)} characters, at most {_FIELD_MAX} are taken")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _RowError(f"environment: {error}") from error
    pairs = [word.partition("=") for word in words]
    wrong = [word for word, pair in zip(words, pairs, strict=True) if not _KEY.match(pair[0]) or not pair[1]]
    wrong += [word for word in words if not word.isprintable()]
    if wrong:
        raise _RowError(f"environment {wrong[0][:_SHOWN]!r} is no KEY=value")
    return {key: value for key, _, value in pairs}


def _check_new(mac: str, host: Host, seen: dict[tuple[str, str], int], line: int) -> None:
    """Raise _RowError if what one machine alone may have is another's already."""
    for what, value in (("mac", mac), ("name", host.name), ("address", host.address)):
        if value and seen.setdefault((what, value), line) != line:
            raise _RowError(f"{what} {value} stands in line {seen[what, value]} already")


def hosts_text(hosts: Mapping[str, Host]) -> str:
    """Return the table of these hosts, by MAC address: the same hosts give the same text."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for mac, host in sorted(hosts.items()):
        env = " ".join(f"{key}={shlex.quote(value)}" for key, value in sorted(host.env.items()))
        writer.writerow((mac, host.name, host.rack, host.profile, host.address, env))
    return out.getvalue()
