"""The systemd units that run `swarmboot serve` as a user of its own, with no more rights than its options need.

Pure: a plan in, text out. Follows systemd.service(5), systemd.exec(5), systemd.socket(5),
systemd.syntax(7) and capabilities(7). Secrets
reach the service as credentials, which systemd reads as root, so that their files stay root's alone. It will not write
files or start anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePath
from string import Template

from swarmboot.errors import MalformedSettingError
from swarmboot.text.addresses import host_port, read_address

NAME, SOCKET = "swarmboot.service", "swarmboot.socket"
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - names
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./\[\]-]+\Z")
_PRIVILEGED_PORTS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeUnit:
    """What a unit is made from.

    `command` is the program and its arguments. An argument that equals `credential(name)` stands for the file that
    `credentials` names. `reads` are the files and folders that the service must see, `typed` how they were named.
    `capabilities` are what it keeps of root's rights, `address` the host and port that it listens on.
    """

    command: tuple[str, ...]
    credentials: Mapping[str, Path]
    reads: tuple[Path, ...]
    capabilities: tuple[str, ...]
    typed: Mapping[Path, Path] = field(default_factory=dict)
    address: tuple[str, int] = ("", 0)


def credential(name: str) -> str:
    """Return how a command refers to a credential (systemd.exec(5), $CREDENTIALS_DIRECTORY)."""
    return f"${{CREDENTIALS_DIRECTORY}}/{name}"


def needed_capabilities(ports: Iterable[int], *, has_dnsmasq: bool) -> tuple[str, ...]:
    """Return the capabilities for listening on `ports` and, with dnsmasq, for answering DHCP.

    dnsmasq enters the machine that it answers into the ARP table (NET_ADMIN) and pings an address before it gives it
    out (NET_RAW).
    """
    if has_dnsmasq:
        return ("CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN", "CAP_NET_RAW")
    return ("CAP_NET_BIND_SERVICE",) if any(0 < port < _PRIVILEGED_PORTS for port in ports) else ()


def is_hidden(path: Path) -> bool:
    """Return whether a path is in one of the folders that the service does not see unless it is bound there."""
    return _is_in(path, (*_HOMES, *_TEMPORARY))


def _is_in(path: PurePath, folders: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def quoted(argument: str) -> str:
    """Return one argument of a command line, quoted as systemd.syntax(7) and systemd.service(5) have it."""
    if _PLAIN.match(argument) or argument.startswith(credential("")):
        return argument
    return _in_quotes(argument.replace("$", "$$"))


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def unit_text(unit: ServeUnit) -> str:
    """Return the unit file; raise MalformedSettingError for an argument that no unit can hold."""
    for argument in (*unit.command, *map(str, (*unit.credentials.values(), *unit.reads))):
        if not argument.isprintable():
            raise MalformedSettingError("a unit cannot hold this argument", expected="one line", found=repr(argument))
    inputs = [f"LoadCredential={name}:{_unspecified(path)}" for name, path in sorted(unit.credentials.items())]
    bound = sorted({str(path) for path in unit.reads if is_hidden(path)})
    inputs += [f"BindReadOnlyPaths=-{_in_quotes(path)}" for path in bound]
    # Only into an empty home, not into a forbidden one, can the part be bound that the service reads.
    homes = ["ProtectHome=tmpfs" if any(_is_in(path, _HOMES) for path in unit.reads) else "ProtectHome=yes"]
    capabilities = " ".join(unit.capabilities)
    privileges = [f"CapabilityBoundingSet={capabilities}"]
    # Capabilities count in the machine's own network only for who is in the machine's own user namespace.
    privileges.append(f"AmbientCapabilities={capabilities}" if capabilities else "PrivateUsers=yes")
    blocks = {"command": [" ".join(map(quoted, unit.command)), *inputs], "homes": homes, "privileges": privileges}
    template = Template(files("seeder.systemd").joinpath(NAME).read_text())
    return template.substitute({name: "\n".join(lines) for name, lines in blocks.items()})


def socket_text(unit: ServeUnit) -> str:
    """Return the socket unit by which systemd holds the address that the service listens on (systemd.socket(5)).

    Raises MalformedSettingError for a name or for port 0: systemd takes addresses alone.
    """
    host, port = unit.address
    try:
        read_address(host)
    except ValueError:
        port = 0
    if not port:
        raise MalformedSettingError(
            "a socket unit cannot listen there",
            expected="an IP address and a port in --listen",
            found=host_port(*unit.address),
        )
    template = Template(files("seeder.systemd").joinpath(SOCKET).read_text())
    return template.substitute(address=host_port(host, port))


def _unspecified(path: Path) -> str:
    return str(path).replace("%", "%%")
