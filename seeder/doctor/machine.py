"""Reads what this machine says of itself: ports and who has them, firewall rules, programs, limits. Judges nothing."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from seeder.doctor.checks import UNSEEN, Port
from seeder.record.policy.boot import Outcome
from seeder.record.policy.ledger import CURRENT_MAX
from seeder.record.store import read_current
from swarmboot.errors import SwarmbootError
from swarmboot.release import layout
from swarmboot.release.trust import Kind, open_envelope

_BOUND_S, _UP_S = 10.0, 600.0
_TIME_ERROR = 5
_TIMEX_BYTES = 1024
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def with_holder(port: Port, host: str, interface: str = "") -> Port:
    """Return a port with the program that has it, as far as this user may see that."""
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as trial:
        if kind == socket.SOCK_STREAM:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if interface:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            trial.bind((host, port.number))
        except OSError as error:
            if error.errno == errno.EACCES:
                return port  # below 1024 for who is not root: nothing is said of who has it
            if error.errno != errno.EADDRINUSE:
                return replace(port, reason=error.strerror or str(error))
            return replace(port, holder=_holder(port))
    return port


def _holder(port: Port) -> str:
    """Return the name of the program that has a port, from /proc/self/net (proc(5)) and processes' descriptors."""
    inodes = set(_inodes(port))
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            links = {os.readlink(link) for link in (process / "fd").iterdir()}  # noqa: PTH115 - no path
            if inodes & links:
                is_ours = any(map(_is_swarmboot, (process, Path("/proc", _parent(process)))))
                name = "swarmboot" if is_ours else Path(_words(process)[0]).name
                return f"{name} (process {process.name})"
    return UNSEEN


def _words(process: Path) -> list[str]:
    return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")


def _is_swarmboot(process: Path) -> bool:
    with suppress(OSError):
        return "swarmboot" in " ".join(_words(process)[:4])
    return False


def _parent(process: Path) -> str:
    """Return the number of a process's parent: `serve` answers DHCP by a child (proc(5), /proc/pid/stat)."""
    return (process / "stat").read_text().rpartition(")")[2].split()[1]


def is_state(state: Path) -> tuple[bool, bool]:
    """Return whether a state folder is or can become one, and whether this user may write to it."""
    there = next(each for each in (state.absolute(), *state.absolute().parents) if each.exists())
    return there.is_dir(), os.access(there, os.W_OK | os.X_OK)


def _inodes(port: Port) -> Iterator[str]:
    for table in (port.protocol, f"{port.protocol}6"):
        with suppress(OSError):
            for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
                words = line.split()
                if int(words[1].rpartition(":")[2], 16) == port.number and (port.protocol == "udp" or words[3] == "0A"):
                    yield f"socket:[{words[9]}]"


def firewall_rules() -> str | None:
    """Return nft's rules, or iptables' where there is no nft; None if they cannot be read."""
    for command in (("nft", "list", "ruleset"), ("iptables-save", "-t", "filter")):
        if (said := _said(command)) is not None:
            return said
    return None


def dnsmasq_version() -> str | None:
    """Return the first line that dnsmasq says of itself, None without it."""
    said = _said(("dnsmasq", "--version"))
    return said.splitlines()[0] if said else None


def _said(command: tuple[str, ...]) -> str | None:
    if shutil.which(command[0], path=_PATH) is None:
        return None
    environment = {**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8"}
    with suppress(subprocess.SubprocessError, OSError):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_BOUND_S,
            check=False, env=environment,
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else None
    return None


def is_clock_kept() -> bool | None:
    """Return whether the kernel knows its clock to be set from elsewhere (adjtimex(2)); None if it cannot be asked."""
    with suppress(AttributeError, OSError):
        return bool(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) != _TIME_ERROR)
    return None


def published_at(site: Path) -> datetime | None:
    """Return when a site's newest manifest was written, by the clock of then; None without one."""
    times = [path.stat().st_mtime for path in (site / "manifests").glob("*.swarm")]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def site_keys(site: Path) -> tuple[bytes, ...]:
    """Return the ids of the keys that have signed a site's newest manifest, unproved; none without one."""
    with suppress(SwarmbootError, OSError, IndexError):
        path = site / layout.manifest_path(layout.manifest_numbers(site)[-1])
        return tuple(open_envelope(path.read_bytes(), Kind.MANIFEST).signatures)
    return ()


def nodes_known(state: Path) -> int:
    """Return how many machines the history of boots in a state folder takes for current; 0 without one."""
    with suppress(sqlite3.Error, OSError):
        return len(read_current(state, most=CURRENT_MAX))
    return 0


def nodes_up(state: Path, network: ipaddress.IPv4Network, *, now_s: float) -> int:
    """Return how many nodes of a network are up, as the history of boots in a state folder had it last."""
    with suppress(sqlite3.Error, OSError):
        boots = read_current(state, most=CURRENT_MAX)
        fresh = (boot for boot in boots if boot.outcome is Outcome.UP and now_s - boot.heard_s < _UP_S)
        return sum(_is_in(boot.addresses[0], network) for boot in fresh if boot.addresses)
    return 0


def _is_in(address: str, network: ipaddress.IPv4Network) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(address) in network
    return False


def free_bytes(folder: Path) -> int:
    """Return how much room there is where a folder is, or is going to be."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free


def neighbour_room() -> int | None:
    """Return the most hardware addresses that the kernel keeps, gc_thresh3 of arp(7)."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3").read_text())
    return None


def descriptors_most() -> int:
    """Return how many files and connections a program may have open, its hard limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return hard if hard != resource.RLIM_INFINITY else 1 << 30
