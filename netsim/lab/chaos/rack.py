"""One rack while a row is played: a seeder, the nodes that boot, and guests who do not mean well.

Everything a row does to it returns while the rack goes on: whoever waits here also reaps programs and looks at every
node. It will not judge (`verdict`), nor build or remove anything (`play`).
"""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from netsim.lab.chaos.depot import IMAGE
from netsim.lab.chaos.verdict import Ending
from netsim.lab.rack.layout import SERVER_ADDRESS
from netsim.lab.rack.processes import failure_of, is_listening
from netsim.lab.run.payload import digest
from netsim.lab.strategies.https import nginx_configuration
from netsim.lab.strategies.swarmboot import PORT, leecher_command, seeder_command
from swarmboot.wire.report import VERIFIED

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from netsim.lab.chaos.depot import Depot
    from netsim.lab.chaos.verdict import Terms
    from netsim.lab.rack.layout import Layout, Node
    from netsim.lab.rack.namespaces import Network
    from netsim.lab.rack.processes import Child, Crew

_LOOK_EVERY_S = 0.05
_BLOCK_BYTES = 512
MIRROR_PORT = 8080


class GaveUpError(Exception):
    """Occurs when a row has waited for its rack as long as anybody should."""


@dataclass(slots=True)
class Boot:
    """One boot of one node: a place in the rack, a fresh folder and a program. A place may boot again."""

    name: str
    place: Node
    folder: Path
    child: Child
    done_s: float | None = None
    """When it reported that it had booted, in seconds since the epoch."""
    is_killed: bool = False

    @property
    def report_path(self) -> Path:
        """Return where its boot report appears."""
        return self.folder.with_name(f"{self.folder.name}.json")

    @property
    def is_settled(self) -> bool:
        """Return whether nothing more is to come: it has booted, was killed, or ended."""
        return self.is_killed or self.done_s is not None or self.child.exit_status is not None

    def look(self) -> None:
        """Take note of a report of success, if there is one by now."""
        if self.done_s is not None or not self.report_path.exists():
            return
        if json.loads(self.report_path.read_text())["outcome"] == VERIFIED:
            self.done_s = self.report_path.stat().st_ctime_ns / 1e9

    def written_bytes(self) -> int:
        """Return how much of its images is there, by the blocks of its sparse files."""
        return sum(path.stat().st_blocks * _BLOCK_BYTES for path in self.folder.rglob("*") if path.is_file())

    def ending(self, allowed: frozenset[bytes]) -> Ending:
        """Return how it ended; `allowed` are the digests of the images that were published."""
        image = self.folder / IMAGE
        held = digest(image) if image.is_file() else None
        return Ending(
            name=self.name,
            seconds=None if self.done_s is None else self.done_s - self.child.started_s,
            is_killed=self.is_killed and self.done_s is None,
            is_wrong=(held is not None and held not in allowed) or (self.done_s is not None and held is None),
            exit_status=self.child.exit_status,
            words=self.child.last_words(),
        )


@dataclass(slots=True)
class Rack:
    """What a row plays on. Places `layout.nodes` boot and are counted; `layout.warm` are guests."""

    terms: Terms
    depot: Depot
    layout: Layout
    network: Network
    crew: Crew
    directory: Path
    random: Random
    patience_s: float
    """How long a boot may take before the row is given up."""
    plain_s: float
    """What plain HTTPS would take under this row's conditions."""
    boots: list[Boot] = field(default_factory=list)
    seeder: Child | None = None
    faults: list[str] = field(default_factory=list)
    allowed: frozenset[bytes] = frozenset()
    """The digests of the images that nodes may end with; a row may set them."""
    _sent_before_bytes: int = 0

    @property
    def site(self) -> Path:
        """Return the site of this rack's own."""
        return self.directory / "site"

    # time

    def step(self, wait_s: float = _LOOK_EVERY_S) -> None:
        """Wait a moment and look at everybody; raise GaveUpError when some boot has taken all patience."""
        self.crew.wait(min(wait_s, _LOOK_EVERY_S))
        for boot in self.boots:
            boot.look()
        if self.seeder is not None and self.seeder.exit_status is not None:
            self.faults.append(str(failure_of(self.seeder)))
            self.seeder = None
        oldest_s = min((boot.child.started_s for boot in self.boots if not boot.is_settled), default=time.time())
        if time.time() > oldest_s + self.patience_s:
            raise GaveUpError

    def pause(self, seconds: float) -> None:
        """Let the rack go on for that long."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self.step(left_s)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Let the rack go on until something is so."""
        while not is_so():
            self.step()

    def progress(self) -> float:
        """Return how much of all images of the nodes that have started is there, from 0 to 1."""
        wanted_bytes = self.terms.size_bytes * max(1, len(self.boots))
        return sum(boot.written_bytes() for boot in self.boots) / wanted_bytes

    def until_progress(self, fraction: float) -> None:
        """Let the rack go on until so much is there, or nothing more is to come."""
        self.until(lambda: self.progress() >= fraction or self.is_settled)

    @property
    def is_settled(self) -> bool:
        """Return whether nothing more is to come from anybody."""
        return all(boot.is_settled for boot in self.boots)

    def finish(self) -> None:
        """Let the rack go on until nothing more is to come."""
        self.until(lambda: self.is_settled)

    def must_be_in_mid_boot(self, what: str) -> None:
        """Note a fault if what a row has done came when everybody had booted: it has shown nothing then."""
        if self.is_settled:
            self.faults.append(f"{what} came too late: nobody was booting any more")

    def must_have_said(self, child: Child, words: str) -> None:
        """Note a fault if a hostile program has not done what it is there for."""
        if words not in child.log_path.read_text(errors="replace"):
            self.faults.append(f"{child.name} has done nothing: {child.last_words()}")

    # the seeder and its kind

    def start_seeder(
        self,
        *more: str,
        listen: str = f"{SERVER_ADDRESS}:{PORT}",
        before: tuple[str, ...] = (),
        site: Path | None = None,
    ) -> None:
        """Start `swarmboot serve` and return when it listens; `before` is what starts it in its stead."""
        command = seeder_command(
            site or self.site, self.depot.state, uplink_bytes_per_s=self.terms.rate_bytes_per_s, listen=listen
        )
        self.seeder = child = self._start_at_server("seeder", *before, *command, *more)
        self._await_port(child, int(listen.rpartition(":")[2]))
        self.seeder = child

    def kill_seeder(self) -> None:
        """Kill the seeder with SIGKILL and return when it is gone."""
        child, self.seeder = self.seeder, None
        if self.boots:
            self.must_be_in_mid_boot("the seeder's end")
        if child is not None:
            self.crew.kill(child)
            self.until(lambda: child.exit_status is not None)

    def start_mirror(self, site: Path, place: Node) -> str:
        """Serve a site by nginx at a guest's place and return its address."""
        root = self.directory / f"mirror{place.index}" / "root"
        root.parent.mkdir()
        root.symlink_to(site)
        configuration = root.parent / "nginx.conf"
        configuration.write_text(nginx_configuration(root, listen=f"{place.address}:{MIRROR_PORT}"))
        child = self.start_guest("mirror", place, "nginx", "-e", "stderr", "-c", str(configuration))
        self._await_port(child, MIRROR_PORT)
        return f"http://{place.address}:{MIRROR_PORT}"

    def start_at_server(self, name: str, port: int, *module: str) -> Child:
        """Start one of our programs in the server's namespace and return when it listens."""
        child = self._start_at_server(name, sys.executable, "-m", *module)
        self._await_port(child, port)
        return child

    def run_at_server(self, name: str, *argv: str) -> tuple[int, str]:
        """Run a program in the server's namespace to its end while the rack goes on; return status and last words."""
        child = self._start_at_server(name, *argv)
        self.until(lambda: child.exit_status is not None)
        assert child.exit_status is not None
        return child.exit_status, child.last_words()

    def require(self, name: str, *module: str) -> None:
        """Run one of our programs at the server to its end; note a fault if it fails."""
        status, words = self.run_at_server(name, sys.executable, "-m", *module)
        if status != 0:
            self.faults.append(f"{name} ended with {status}: {words}")

    def kill_after(self, name: str, seconds: float, *argv: str) -> None:
        """Start a program at the server and kill it with SIGKILL that much later, unless it has ended."""
        child = self._start_at_server(name, *argv)
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0 and child.exit_status is None:
            self.step(left_s)
        if child.exit_status is None:
            self.crew.kill(child)
        self.until(lambda: child.exit_status is not None)

    def start_guest(self, name: str, place: Node, *argv: str) -> Child:
        """Start a program at a guest's place."""
        log_path = self.directory / f"{name}{place.index}.log"
        return self.crew.start(name, argv, netns=place.netns, log_path=log_path)

    def _start_at_server(self, name: str, *argv: str) -> Child:
        log_path = self.directory / f"{name.replace(' ', '-')}-{len(self.crew.children)}.log"
        return self.crew.start(name, argv, netns=self.layout.server_netns, log_path=log_path)

    def _await_port(self, child: Child, port: int) -> None:
        self.until(lambda: is_listening(child, port) or child.exit_status is not None)
        if child.exit_status is not None:
            raise failure_of(child)

    # nodes

    def begin(self) -> None:
        """Count the server's bytes from now on."""
        self._sent_before_bytes = self.network.server_sent_bytes()

    def server_bytes(self) -> int:
        """Return what the server's interface has sent since `begin`."""
        return self.network.server_sent_bytes() - self._sent_before_bytes

    def start(
        self,
        place: Node,
        *more: str,
        before: tuple[str, ...] = (),
        server: str = f"https://{SERVER_ADDRESS}:{PORT}",
        ca: Path | None = None,
        name: str = "",
    ) -> Boot:
        """Start one boot at a place; the caller counts it in `boots` if it is one of the rack's own."""
        name = name or f"node{place.index}-{sum(boot.place == place for boot in self.boots)}"
        folder = self.directory / name
        folder.mkdir()
        command = leecher_command(
            server=server,
            trust=self.depot.trust,
            ca=ca or self.depot.state / "ca.pem",
            into=folder,
            rack=place.rack_name,
            report=folder.with_name(f"{name}.json"),
        )
        log_path = self.directory / f"{name}.log"
        child = self.crew.start(name, (*before, *command, *more), netns=place.netns, log_path=log_path)
        return Boot(name, place, folder, child)

    def start_all(self, *more: str, before: tuple[str, ...] = (), server: str = "", ca: Path | None = None) -> None:
        """Start one boot at every place of the rack, and count the server's bytes from now on."""
        self.begin()
        server = server or f"https://{SERVER_ADDRESS}:{PORT}"
        for place in self.layout.nodes:
            self.boots.append(self.start(place, *more, before=before, server=server, ca=ca))

    def warm(self, place: Node) -> Boot:
        """Boot one node at a guest's place and return when it is complete."""
        boot = self.start(place, name=f"warm{place.index}")

        def is_settled() -> bool:
            boot.look()
            return boot.is_settled

        self.until(is_settled)
        if boot.done_s is None:
            raise failure_of(boot.child)
        return boot

    def kill(self, boot: Boot) -> None:
        """Kill a node with SIGKILL."""
        boot.is_killed = True
        self.crew.kill(boot.child)

    def send_away(self, boot: Boot) -> None:
        """Stop a node with SIGTERM and return when it has ended."""
        boot.child.popen.send_signal(signal.SIGTERM)
        self.until(lambda: boot.child.exit_status is not None)

    def endings(self) -> list[Ending]:
        """Return how every boot has ended so far."""
        return [boot.ending(self.allowed) for boot in self.boots]
