"""Make, read and remove a lab's network namespaces by running `ip` and `tc`.

It removes only namespaces whose name says that a lab made them and whose maker is this process or is dead. It never
touches an interface outside them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from netsim.lab.rack.layout import RunId, parse_run_name
from netsim.lab.rack.links import (
    HOST_SETTINGS,
    RACK_DOWNLINK,
    RACK_UPLINK,
    chunk_bytes,
    hosts,
    port_queue_bytes,
    shaping,
    switch_links,
    switch_shaping,
)
from netsim.lab.rack.signals import uninterrupted
from swarmboot.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from netsim.lab.rack.fluid_limit import LinkRates
    from netsim.lab.rack.layout import Layout, Node

NETNS_FOLDER = Path("/run/netns")
RAM_FOLDER = Path("/dev/shm")  # noqa: S108 - the folder in RAM that Linux has; our own directory inside is private
SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Where programs are looked for: the administrator's folders too, which `su` without `-` leaves out."""
TOOL_ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.lower().endswith("_proxy") and name != "PYTHONDONTWRITEBYTECODE"
} | {"PATH": SEARCH_PATH}
"""What the lab's programs find around them: no proxy, for none can be reached from a namespace, and compiled Python."""
_COMMAND_BOUND_S = 60


def _run(*argv: str, lines: Iterable[str] = ()) -> subprocess.CompletedProcess[str]:
    given = "".join(f"{line}\n" for line in lines)
    return subprocess.run(
        argv, input=given, capture_output=True, text=True, timeout=_COMMAND_BOUND_S, env=TOOL_ENVIRONMENT
    )


def run_tool(*argv: str, lines: Iterable[str] = ()) -> str:
    """Run a program with `lines` as its input and return its output; raise LabError with its own words if it fails."""
    done = _run(*argv, lines=lines)
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise LabError(f"`{' '.join(argv)}` failed", found=complaint[0], hint="does this kernel have netns, veth, tbf?")
    return done.stdout


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot (proc(5), stat field 22), or None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def this_run() -> RunId:
    """Return the name of the runs that this process makes."""
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    return RunId(pid=os.getpid(), start_ticks=ticks)


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def _kill_inside(netns: str) -> None:
    """Kill every process in one namespace, by its id."""
    for pid in _run("ip", "netns", "pids", netns).stdout.split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            continue


def remove_namespaces(run: RunId) -> None:
    """Remove all namespaces of one run and kill what still runs in them. Does nothing where there is nothing."""
    for name in _names(NETNS_FOLDER):
        if parse_run_name(name) == run:
            _kill_inside(name)
            _run("ip", "netns", "delete", name)


def sweep_leftovers() -> int:
    """Remove namespaces, processes and directories of lab runs whose own process is gone; return how many runs."""
    found = {parse_run_name(name) for folder in (NETNS_FOLDER, RAM_FOLDER) for name in _names(folder)}
    dead = {run for run in found if run is not None and start_ticks(run.pid) != run.start_ticks}
    for run in dead:
        remove_namespaces(run)
        for name in _names(RAM_FOLDER):
            if parse_run_name(name) == run:
                shutil.rmtree(RAM_FOLDER / name, ignore_errors=True)
    return len(dead)


def make_directory(run: RunId) -> tempfile.TemporaryDirectory[str]:
    """Return a new private directory in RAM, removed when its context ends."""
    return tempfile.TemporaryDirectory(prefix=f"{run.prefix}-", dir=RAM_FOLDER, ignore_cleanup_errors=True)


def _set_kernel(netns: str) -> None:
    """Apply HOST_SETTINGS in a namespace, as far as this kernel has them."""
    paths = {f"/proc/sys/{name.replace('.', '/')}": value for name, value in HOST_SETTINGS.items()}
    script = "; ".join(f"[ ! -e {path} ] || echo {value} >{path}" for path, value in paths.items())
    run_tool("ip", "netns", "exec", netns, "sh", "-c", script)


class Network:
    """The lab's network while its context is open: built on entry, removed on exit however it ends."""

    def __init__(self, layout: Layout, rates: LinkRates) -> None:
        self._layout = layout
        self._rates = rates

    def __enter__(self) -> Self:
        with ExitStack() as on_failure:
            on_failure.callback(self._remove)
            self._build()
            on_failure.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _build(self) -> None:
        layout, rates = self._layout, self._rates
        run_tool("ip", "-batch", "-", lines=(f"netns add {name}" for name in layout.namespaces))
        run_tool("ip", "-n", layout.switch_netns, "-batch", "-", lines=switch_links(layout))
        run_tool("tc", "-n", layout.switch_netns, "-batch", "-", lines=switch_shaping(layout, rates))
        for host in hosts(layout, rates):
            run_tool("ip", "-n", host.netns, "-batch", "-", lines=host.links)
            run_tool("tc", "-n", host.netns, "-batch", "-", lines=[host.shaping])
            _set_kernel(host.netns)

    def _remove(self) -> None:
        with uninterrupted():
            remove_namespaces(self._layout.run)

    def slow_down(self, node: Node, rate_bytes_per_s: float) -> None:
        """Shape one node's link, both ways, to another rate from now on."""
        chunk = chunk_bytes(self._rates)  # what the hosts hand over at once stays as large as it was
        ends = ((self._layout.switch_netns, node.port), (node.netns, "eth0"))
        for netns, device in ends:
            queue_bytes = port_queue_bytes(rate_bytes_per_s)
            line = shaping(device, rate_bytes_per_s, chunk_bytes=chunk, queue_bytes=queue_bytes, is_shaped=True)
            run_tool("tc", "-n", netns, "-batch", "-", lines=[line])

    def block_multicast(self) -> None:
        """Let the switches drop multicast from now on, without a word to anybody."""
        ports = ("server", *(node.port for node in self._layout.everyone))
        lines = [f"link set dev {port} type bridge_slave mcast_flood off" for port in ports]
        run_tool("ip", "-n", self._layout.switch_netns, "-batch", "-", lines=lines)

    def server_sent_bytes(self) -> int:
        """Return what the server's interface has sent since it exists, every packet's headers included."""
        return _sent_bytes(self._layout.server_netns)["eth0"]

    def rack_bytes(self) -> dict[str, dict[str, int]]:
        """Return what each rack has sent to the core (`up_bytes`) and received from it (`down_bytes`)."""
        if self._layout.racks < 2:
            return {}
        sent = _sent_bytes(self._layout.switch_netns)
        ends = {"up_bytes": RACK_UPLINK, "down_bytes": RACK_DOWNLINK}
        racks = range(self._layout.racks)
        return {f"rack{rack}": {key: sent[end.format(rack=rack)] for key, end in ends.items()} for rack in racks}


def _sent_bytes(netns: str) -> dict[str, int]:
    """Return the bytes sent by each shaped interface of a namespace.

    The shaper's counter and not the interface's: of packets that segmentation offload joined, the interface counts the
    headers once, the shaper as often as a wire would carry them.
    """
    queues = json.loads(run_tool("tc", "-n", netns, "-json", "-statistics", "qdisc", "show"))
    return {queue["dev"]: queue["bytes"] for queue in queues if queue["kind"] == "tbf"}
