"""A host that is no node: it says to the seeder what it likes, over TLS, from an address of its own choice."""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from swarmboot.ids import InfoHash, NodeId, NodeKey, Sequence
from swarmboot.wire.announce import (
    ANNOUNCE_PATH,
    HANDOUT_MAX_BYTES,
    REPORT_PATH,
    WIRE_TYPE,
    Announce,
    Handout,
    NodeState,
    decode_handout,
    encode_announce,
)
from swarmboot.wire.report import BootReport, encode_report
from tests.support.loopback import Seeder

ANSWER_S = 10.0
NO_KEY = NodeKey(b"")


class Liar:
    """One kept connection from `host` to a seeder."""

    def __init__(self, seeder: Seeder, *, host: str = "127.0.0.99") -> None:
        address = urlsplit(seeder.address)
        assert address.hostname is not None
        context = ssl.create_default_context(cafile=str(seeder.ca))
        self._connection = http.client.HTTPSConnection(
            address.hostname, address.port, timeout=ANSWER_S, context=context, source_address=(host, 0)
        )

    def __enter__(self) -> Liar:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Return the status and the body of the answer to a POST."""
        self._connection.request("POST", path, body, {"content-type": WIRE_TYPE})
        answer = self._connection.getresponse()
        return answer.status, answer.read(HANDOUT_MAX_BYTES)

    def announce(self, announce: Announce) -> tuple[int, Handout | None]:
        """Return the status of the answer, and the handout if it is one."""
        status, body = self.post(ANNOUNCE_PATH, encode_announce(announce))
        return status, decode_handout(body) if status == http.client.OK else None

    def report(self, report: BootReport) -> int:
        """Return the status of the answer to a report."""
        return self.post(REPORT_PATH, encode_report(report))[0]


def announce(
    *,
    node: NodeId | None = None,
    key: NodeKey = NO_KEY,
    state: NodeState = NodeState.FETCHING,
    port: int = 0,
    have: Mapping[InfoHash, bytes] | None = None,
    free_lease_slots: int = 0,
) -> Announce:
    """Return an announce of a node that does not exist."""
    node = NodeId(os.urandom(16)) if node is None else node
    return Announce(node, Sequence(1), state, port, have=have or {}, free_lease_slots=free_lease_slots, key=key)
