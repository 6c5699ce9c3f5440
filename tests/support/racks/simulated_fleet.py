"""Nodes that do not exist, at a seeder that does: announces, reports and fetches over its real HTTPS, on loopback.

Each is a value with a few verbs; what they have and where it came from is what they say. Nothing waits or sleeps here.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from urllib.parse import urlsplit

from seeder.policy.facts.registry import Registry
from seeder.policy.facts.torrent_state import Torrent
from seeder.site.catalogue import Catalogue
from swarmboot.ids import NodeId, NodeKey, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.about import About
from swarmboot.wire.announce import ANNOUNCE_PATH, REPORT_PATH, Announce, NodeState, encode_announce
from swarmboot.wire.report import BOOTED, FAILED, VERIFIED, BootReport, encode_report
from tests.support.loopback import Fleet, Seeder

_AT_ONCE = 4
PHASES = {"leecher_start": 0.6, "manifest": 0.4, "images": 9.0, "verification": 0.7}


@dataclass(slots=True)
class SimulatedNode:
    """One node: number, name, rack and address, and how many hundredths of its bytes come from the origin."""

    number: int
    rack: str
    address: str
    name: str
    from_origin: float = 0.1
    have: float = 0.0
    about: About = field(init=False)

    def __post_init__(self) -> None:
        mac = f"52:54:00:12:{self.number >> 8:02x}:{self.number & 255:02x}"
        boot = f"{self.number:08x}-0000-4000-8000-{self.number:012x}"
        self.about = About(boot, mac, self.name, "stable", "6.12.0-amd64")

    @property
    def id(self) -> bytes:
        return self.number.to_bytes(16, "big")


class SimulatedFleet:
    """Simulated nodes of a fleet's newest release; requests from one address share a connection."""

    def __init__(self, seeder: Seeder, fleet: Fleet) -> None:
        self._server = urlsplit(seeder.address)
        self._context = ssl.create_default_context(cafile=str(seeder.ca))
        self._connections: dict[str, http.client.HTTPSConnection] = {}
        registry = Registry()
        catalogue = Catalogue(fleet.site, registry)
        catalogue.refresh()
        self.sequence = catalogue.newest or 1
        self.torrents: list[Torrent] = [state.torrent for state in registry.torrents.values()]
        artifacts = catalogue.manifests[Sequence(self.sequence)].artifacts
        self.blobs = [(each.sha256.hex(), each.size_bytes) for each in artifacts]
        self.size_bytes = sum(torrent.size_bytes for torrent in self.torrents)

    def __enter__(self) -> SimulatedFleet:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for connection in self._connections.values():
            connection.close()

    def ask(self, address: str, method: str, path: str, body: bytes = b"", **headers: str) -> int:
        """Send a request from an address; return the answer's status once all of it is there."""
        for _ in range(2):
            connection = self._connections.get(address)
            if connection is None:
                host, port = self._server.hostname or "", self._server.port
                connection = http.client.HTTPSConnection(
                    host, port, context=self._context, timeout=30, source_address=(address, 0)
                )
                self._connections[address] = connection
            with suppress(http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
                connection.request(method, path, body or None, headers)
                answer = connection.getresponse()
                answer.read()
                return answer.status
            self._connections.pop(address).close()
        raise ConnectionError(f"{path} has no answer")

    def announce(self, node: SimulatedNode, state: NodeState = NodeState.FETCHING) -> None:
        """Let a node announce what it has."""
        have = {}
        for torrent in self.torrents:
            count = -(-torrent.size_bytes // torrent.piece_bytes)
            share = count if state is NodeState.COMPLETE else int(node.have * count)
            have[torrent.info_hash] = piece_set.encode(piece_set.span(0, share), count)
        received = int(node.have * self.size_bytes)
        origin = int(received * node.from_origin)
        said = Announce(
            NodeId(node.id), Sequence(self.sequence), state, port=6881, rack=node.rack, have=have,
            from_neighbours_bytes=received - origin, from_origin_bytes=origin, key=NodeKey(node.id), about=node.about,
        )  # fmt: skip
        status = self.ask(node.address, "POST", ANNOUNCE_PATH, encode_announce(said))
        assert status == 200, status

    def announce_all(self, nodes: Iterable[SimulatedNode]) -> None:
        """Let nodes announce what they have, those of an address one after the other and several addresses at once."""
        of_address: dict[str, list[SimulatedNode]] = {}
        for node in nodes:
            of_address.setdefault(node.address, []).append(node)

        def announce_some(some: list[SimulatedNode]) -> None:
            for node in some:
                self.announce(node)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(announce_some, of_address.values()))

    def fetch(self, node: SimulatedNode, size_bytes: int) -> None:
        """Let a node take bytes of the largest image from the origin, for real."""
        digest, whole = max(self.blobs, key=lambda blob: blob[1])
        first = (node.number * size_bytes) % max(1, whole - size_bytes)
        self.ask(node.address, "GET", f"/blobs/{digest}", range=f"bytes={first}-{first + size_bytes - 1}")

    def verified(self, node: SimulatedNode, images_s: float = PHASES["images"]) -> None:
        """Let a node say that all is there and that it hands off."""
        node.have = 1.0
        self.announce(node, NodeState.COMPLETE)
        phases = {**PHASES, "images": images_s}
        self._report(node, self._said(node, VERIFIED, phases=phases, hands_off=True, uptime_s=sum(phases.values()) + 2))

    def booted(self, node: SimulatedNode, services_s: float = 2.0) -> None:
        """Let a node's system say that it is up."""
        self._report(node, self._said(node, BOOTED, phases={"services": services_s}, uptime_s=20.0))

    def failed(self, node: SimulatedNode, error: str, exit_status: int) -> None:
        """Let a node say why it has failed."""
        phases = {name: PHASES[name] for name in ("leecher_start", "manifest", "images")}
        said = self._said(node, FAILED, phases=phases, error=error, exit_status=exit_status, uptime_s=14.0)
        self._report(node, said)

    def _said(self, node: SimulatedNode, outcome: str, **values: object) -> BootReport:
        received = int(node.have * self.size_bytes)
        origin = int(received * node.from_origin)
        about = node.about
        report = BootReport(
            node.id.hex(), outcome, sequence=self.sequence, rack=node.rack, boot=about.boot, mac=about.mac,
            name=about.name, channel=about.channel, kernel=about.kernel, ram_bytes=8 << 30,
            bytes_from={"neighbours": received - origin, "origin": origin}, key=NodeKey(node.id),
        )  # fmt: skip
        return replace(report, **values)  # type: ignore[arg-type]

    def _report(self, node: SimulatedNode, report: BootReport) -> None:
        status = self.ask(node.address, "POST", REPORT_PATH, encode_report(report))
        assert status == 204, status


def build_nodes(
    count: int, *, a_rack: int = 40, own_addresses: bool = True, network: str = "127.1"
) -> list[SimulatedNode]:
    """Return so many nodes in racks, each at an address of its own or one for each rack, all in one network."""
    nodes = []
    for number in range(count):
        rack, place = divmod(number, a_rack)
        address = f"{network}.{rack}.{place + 1 if own_addresses else 1}"
        nodes.append(SimulatedNode(number + 1, f"r{rack + 1:02d}", address, f"node-{number + 1:03d}"))
    return nodes
