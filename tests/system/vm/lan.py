"""A LAN of a test's own: a bridge with DHCP, DNS and taps in a network namespace that ends with the test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.waiting import wait_for_line
from tests.system.vm.programs import STAY_ROOT, SWARMBOOT, in_network, own_network, run, running

ADDRESS = "10.99.0.1"
ADDRESS_IPV6 = "fd99::1"
NAME = "boot.rack"
_MAX_WAIT_S = 120.0


@dataclass(slots=True)
class Lan:
    """The LAN while its context is open. Use `inside` for whatever runs on it."""

    pid: int
    work: Path
    stack: ExitStack
    taps: int = 0
    seeders: list[subprocess.Popen[bytes]] = field(default_factory=list)
    address: str = ADDRESS

    @property
    def host(self) -> str:
        """Return this end's address as it stands in a URL."""
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def inside(self) -> tuple[str, ...]:
        """Return what to put before a command, so that it runs on this LAN."""
        return in_network(self.pid)

    def ip(self, *arguments: str) -> None:
        """Run ip(8) on this LAN."""
        run(*self.inside, "ip", *arguments)

    def tap(self, bridge: str = "rack") -> str:
        """Make a tap for a machine's card, plugged into a bridge or, without one, into nothing; return its name."""
        self.taps += 1
        name = f"tap{self.taps}"
        self.ip("tuntap", "add", name, "mode", "tap")
        if bridge:
            self.ip("link", "set", name, "master", bridge)
        self.ip("link", "set", name, "up")
        return name

    def serve(self, site: Path, *, state: Path, port: int = 8470, uplink: str = "1gbit") -> subprocess.Popen[bytes]:
        """Start a seeder and return it once it listens."""
        log = self.work / f"seeder-{port}.log"
        seeder = self.stack.enter_context(
            running(
                *self.inside, *SWARMBOOT, "serve", str(site), "--listen", f"{self.host}:{port}", "--name", NAME,
                "--state", str(state), "--uplink", uplink, log=log,
            )
        )  # fmt: skip
        wait_for_line(log, "listening on", within_s=_MAX_WAIT_S)
        return seeder

    def add_address(self, address: str) -> None:
        """Give the host's end of the bridge one more address, for a neighbour that runs here."""
        self.ip("address", "add", address + ("/64" if ":" in address else "/24"), "dev", "rack", *_no_dad(address))

    def add_other(self) -> None:
        """Add a second network, `other`, whose DHCP server answers and names a name server that does not."""
        self.ip("link", "add", "other", "type", "bridge", "forward_delay", "0")
        self.ip("address", "add", "10.66.0.1/24", "dev", "other")
        self.ip("link", "set", "other", "up")
        self.stack.enter_context(
            running(
                *self.inside, *_DNSMASQ, "--port=0", "--interface=other", "--dhcp-range=10.66.0.50,10.66.0.99,1h",
                "--dhcp-option=option:dns-server,10.66.0.9,192.0.2.1",
                f"--dhcp-leasefile={self.work / 'other-leases'}", "--pid-file=", log=self.work / "other.log",
            )
        )  # fmt: skip


def _no_dad(address: str) -> tuple[str, ...]:
    return ("nodad",) if ":" in address else ()


_DNSMASQ = (
    "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--bind-interfaces", "--except-interface=lo",
    "--no-resolv", "--no-hosts", "--no-ping", *STAY_ROOT,
)  # fmt: skip


@contextmanager
def open_lan(work: Path, *, has_ipv4: bool = True, names: Mapping[str, str] | None = None) -> Iterator[Lan]:
    """Open a LAN; everything on it ends with the block. Without IPv4 there are router advertisements and no DHCP.

    `names` are what DHCP calls a machine, by its MAC address.
    """
    work.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        pid = stack.enter_context(own_network(work / "keeper.log"))
        lan = Lan(pid, work, stack, address=ADDRESS if has_ipv4 else ADDRESS_IPV6)
        for arguments in ("link set lo up", "link add rack type bridge forward_delay 0", "link set rack up"):
            lan.ip(*arguments.split())
        lan.add_address(ADDRESS_IPV6)
        if has_ipv4:
            lan.add_address(ADDRESS)
        ipv4 = ("--dhcp-range=10.99.0.50,10.99.0.99,1h", f"--address=/{NAME}/{ADDRESS}") if has_ipv4 else ()
        called = tuple(f"--dhcp-host={mac},{name}" for mac, name in (names or {}).items())
        stack.enter_context(
            running(
                *lan.inside, *_DNSMASQ, "--interface=rack", *ipv4, *called,
                "--dhcp-range=::,constructor:rack,ra-only,slaac", "--enable-ra",
                f"--dhcp-leasefile={work / 'leases'}", "--pid-file=", log=work / "dnsmasq.log",
            )
        )  # fmt: skip
        yield lan
