"""A LAN of a test's own: a bridge with DHCP, DNS and taps in a network namespace that ends with the test."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.vm.programs import BOUND_TO_US, SWARMBOOT, run, running

ADDRESS = "10.99.0.1"
NAME = "boot.rack"
_MOST_WAIT_S = 30.0


@dataclass(slots=True)
class Lan:
    """The LAN while its context is open. Use `inside` for whatever runs on it."""

    pid: int
    work: Path
    stack: ExitStack
    taps: int = 0
    seeders: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def inside(self) -> tuple[str, ...]:
        """Return what to put before a command, so that it runs on this LAN."""
        return ("nsenter", "--net", "--target", str(self.pid), "--")

    def ip(self, *arguments: str) -> None:
        """Run ip(8) on this LAN."""
        run(*self.inside, "ip", *arguments)

    def tap(self, *, is_connected: bool = True) -> str:
        """Make a tap for a machine's card and return its name."""
        self.taps += 1
        name = f"tap{self.taps}"
        self.ip("tuntap", "add", name, "mode", "tap")
        if is_connected:
            self.ip("link", "set", name, "master", "rack")
        self.ip("link", "set", name, "up")
        return name

    def serve(self, site: Path, *, state: Path, port: int = 8470, uplink: str = "1gbit") -> subprocess.Popen[bytes]:
        """Start a seeder and return it once it listens."""
        log = self.work / f"seeder-{port}.log"
        seeder = self.stack.enter_context(
            running(
                *self.inside, *SWARMBOOT, "serve", str(site), "--listen", f"{ADDRESS}:{port}", "--name", NAME,
                "--state", str(state), "--uplink", uplink, log=log,
            )
        )  # fmt: skip
        wait_for_line(log, re.compile("listening on"), within_s=_MOST_WAIT_S)
        return seeder

    def add_address(self, address: str) -> None:
        """Give the host's end of the bridge one more address, for a neighbour that runs here."""
        self.ip("address", "add", f"{address}/24", "dev", "rack")


def wait_for_line(log: Path, pattern: re.Pattern[str], *, within_s: float) -> str:
    """Return the first line of a growing file that matches; fail the test if none comes in time."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        for line in log.read_text(errors="replace").splitlines():
            if pattern.search(line):
                return line
        time.sleep(0.1)
    raise AssertionError(f"{log.name} does not say {pattern.pattern!r} within {within_s} s: {log.read_text()[-2000:]}")


@contextmanager
def open_lan(work: Path) -> Iterator[Lan]:
    """Open a LAN; everything on it ends with the block."""
    with ExitStack() as stack:
        # The namespace lives as long as this process, which dies with the test run.
        keeper = stack.enter_context(
            running("unshare", "--net", "--", *BOUND_TO_US, "sleep", "infinity", log=work / "keeper.log")
        )
        lan = Lan(keeper.pid, work, stack)
        wait_for_namespace(keeper.pid)
        for arguments in (
            "link set lo up", "link add rack type bridge", f"address add {ADDRESS}/24 dev rack",
            "address add fd99::1/64 dev rack nodad", "link set rack up",
        ):  # fmt: skip
            lan.ip(*arguments.split())
        stack.enter_context(
            running(
                *lan.inside, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--bind-interfaces",
                "--interface=rack", "--except-interface=lo", "--no-resolv", "--no-hosts", "--no-ping",
                f"--address=/{NAME}/{ADDRESS}", "--dhcp-range=10.99.0.50,10.99.0.99,1h",
                "--dhcp-range=::,constructor:rack,ra-only,slaac", "--enable-ra",
                f"--dhcp-leasefile={work / 'leases'}", f"--pid-file={work / 'dnsmasq.pid'}", "--user=root",
                log=work / "dnsmasq.log",
            )
        )  # fmt: skip
        yield lan


def wait_for_namespace(pid: int) -> None:
    """Return once the process has a network namespace of its own."""
    ours = Path("/proc/self/ns/net").readlink()
    deadline_s = time.monotonic() + _MOST_WAIT_S
    while time.monotonic() < deadline_s:
        if Path(f"/proc/{pid}/ns/net").readlink() != ours:
            return
        time.sleep(0.02)
    raise AssertionError("no network namespace came up")
