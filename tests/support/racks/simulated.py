"""Simulated nodes that speak to a real seeder as real ones do: TLS, the fleet's proof, announces, reports.

Each has an address of its own in 127.20.0.0/16 and a MAC address, and says what it is told to; it fetches nothing.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swarmboot.crypto.fleet_token import PROOF_HEADER, FleetToken, NodeProver, certificate_digest
from swarmboot.ids import InfoHash, NodeId, NodeKey, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.about import About
from swarmboot.wire.announce import ANNOUNCE_PATH, REPORT_PATH, Announce, NodeState, encode_announce
from swarmboot.wire.report import BootReport, encode_report

TOLD: Mapping[str, float] = {"leecher_start": 0.1, "manifest": 0.1, "images": 0.4, "verification": 0.1}


@dataclass(frozen=True, slots=True)
class Target:
    """A seeder and one torrent that it serves: the number of its pieces."""

    address: str
    ca: Path
    info_hash: InfoHash
    pieces: int
    token: FleetToken | None = None


@dataclass(slots=True)
class SimulatedNode:
    """Node `number` of a fleet."""

    target: Target
    number: int
    rack: str = ""
    have: int = 0
    program: int = 0
    _connection: http.client.HTTPSConnection | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """Return its address."""
        return f"127.20.{self.number >> 8}.{self.number & 255}"

    @property
    def mac(self) -> str:
        """Return its MAC address."""
        return f"52:54:00:20:{self.number >> 8:02x}:{self.number & 255:02x}"

    @property
    def about(self) -> About:
        """Return what it says of itself."""
        return About(
            boot=f"{self.number:08x}-0000-4000-8000-000000000000",
            mac=self.mac,
            name=f"sim{self.number}",
            channel="stable",
            kernel="6.1.0",
        )

    @property
    def node(self) -> NodeId:
        """Return its id, another for `program` 1, the booted system's neighbour."""
        return NodeId(b"sim" + bytes([self.program]) + self.number.to_bytes(12, "big"))

    def announce(self, state: NodeState = NodeState.FETCHING, **changes: Any) -> int:
        """Announce; return the answer's status."""
        count = self.target.pieces
        pieces = piece_set.all_pieces(count) if state is NodeState.COMPLETE else piece_set.of(range(self.have))
        values: dict[str, Any] = {
            "port": 6881, "http_port": 8471, "rack": self.rack, "about": self.about, "key": NodeKey(b"k" * 16),
            "have": {self.target.info_hash: piece_set.encode(pieces, count)}, "own_end": self.host,
        }  # fmt: skip
        announce = Announce(self.node, Sequence(1), state, **{**values, **changes})
        return self._post(ANNOUNCE_PATH, encode_announce(announce))

    def report(self, outcome: str, **changes: Any) -> int:
        """Report; return the answer's status."""
        about = self.about
        values: dict[str, Any] = {
            "sequence": 1, "rack": self.rack, "phases": TOLD, "bytes_from": {"neighbours": 900, "origin": 100},
            "boot": about.boot, "mac": about.mac, "name": about.name, "channel": about.channel, "kernel": about.kernel,
            "ram_bytes": 8 << 30, "key": NodeKey(b"k" * 16),
        }  # fmt: skip
        report = BootReport(self.node.hex(), outcome, **{**values, **changes})
        return self._post(REPORT_PATH, encode_report(report))

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, path: str, body: bytes) -> int:
        connection = self._connected()
        headers = {"content-type": "application/msgpack"}
        if self.target.token is not None:
            assert isinstance(connection.sock, ssl.SSLSocket)
            shown = certificate_digest(connection.sock.getpeercert(binary_form=True) or b"")
            prover = NodeProver(self.node, self.target.token.key_of(self.node))
            headers[PROOF_HEADER] = prover.header(path, body, certificate=shown)
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def _connected(self) -> http.client.HTTPSConnection:
        if self._connection is None:
            parts = urlsplit(self.target.address)
            assert parts.hostname is not None
            context = ssl.create_default_context(cafile=str(self.target.ca))
            self._connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, context=context, timeout=30, source_address=(self.host, 0)
            )
            self._connection.connect()
        return self._connection
