"""Asks on an interface who is there, as a node without a server does, and hears who answers."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass

from swarmboot.codec import DecodeError
from swarmboot.ids import NODE_ID_BYTES, NodeId
from swarmboot.wire.discovery import (
    DATAGRAM_MAX_BYTES,
    GROUP,
    NONCE_BYTES,
    PORT,
    Presence,
    Probe,
    decode_datagram,
    encode_probe,
)

_WAIT_S, _TRIES = 1.0, 2


@dataclass(frozen=True, slots=True)
class Heard:
    """Whether this machine has heard its own question, and the addresses of the nodes that answered."""

    is_heard: bool
    nodes: frozenset[str]


def nodes_heard(interface: str, keys: tuple[bytes, ...]) -> Heard:
    """Return who answers a node that trusts `keys`, after some seconds; raise OSError if it cannot be asked."""
    probe = Probe(NodeId(os.urandom(NODE_ID_BYTES)), keys, os.urandom(NONCE_BYTES))
    is_heard, nodes = False, set()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as group,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking,
    ):
        on = struct.pack("4s4si", socket.inet_aton(GROUP), b"\0" * 4, socket.if_nametoindex(interface))
        group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        group.bind((GROUP, PORT))
        group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, on)
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, on)
        for _ in range(_TRIES):
            asking.sendto(encode_probe(probe), (GROUP, PORT))
            end_s = time.monotonic() + _WAIT_S / _TRIES
            while (left_s := end_s - time.monotonic()) > 0:
                for ready in select.select([group, asking], [], [], left_s)[0]:
                    data, sender = ready.recvfrom(DATAGRAM_MAX_BYTES + 1)
                    with suppress(DecodeError):
                        message = decode_datagram(data)
                        is_heard = is_heard or message == probe
                        if isinstance(message, Presence) and message.nonce == probe.nonce:
                            nodes.add(sender[0])
    return Heard(is_heard, frozenset(nodes))
