"""Hosts that would bring the seeder down, all at once and for as long as it takes, each from an address of its own.

Six kinds in turn: forged node ids, bodies that drip, leases burned, idle connections, HTTP/2's preface, forged reports.
Each does a little every half second and begins again when it is cut off, so that what they keep busy does not depend on
how long they run. Bounded in number and time; loopback only.
"""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import trio

from swarmboot.ids import InfoHash, LeaseId, NodeId, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.announce import ANNOUNCE_PATH, REPORT_PATH, Announce, NodeState, decode_handout, encode_announce
from swarmboot.wire.report import FAILED, BootReport, encode_report

PAUSE_S = 0.5
IDLE_EACH = 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
_MAX_ANSWER = 1 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """The seeder, and a torrent that it knows."""

    port: int
    context: ssl.SSLContext
    info_hash: InfoHash
    count: int


class Client:
    """One TLS connection of a hostile host."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        await self._stream.send_all(data)

    async def hear(self) -> bytes:
        """Return an answer's body; raise BrokenResourceError at the end of the connection."""
        read = b""
        while len(read) < _MAX_ANSWER:
            chunk = await self._stream.receive_some()
            if not chunk:
                raise trio.BrokenResourceError
            read += chunk
            head, end, body = read.partition(b"\r\n\r\n")
            lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if end and len(body) >= sum(lengths):
                return bytes(body)
        return b""


async def dial(target: Target, own: str) -> Client:
    """Return a connection from the address `own`."""
    plain = trio.socket.socket()
    await plain.bind((own, 0))
    await plain.connect(("127.0.0.1", target.port))
    stream = trio.SSLStream(
        trio.SocketStream(plain), target.context, server_hostname="127.0.0.1", https_compatible=True
    )
    await stream.do_handshake()
    return Client(stream)


def request(path: str, body: bytes, *, length: int | None = None) -> bytes:
    """Return a request; `length` is what it says of its body."""
    said = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: seeder\r\nContent-Length: {said}\r\n\r\n".encode() + body


def announce(target: Target, random: Random) -> Announce:
    """Return a forged node's announce."""
    have = {target.info_hash: piece_set.encode(piece_set.of(random.sample(range(target.count), 3)), target.count)}
    node = NodeId(random.randbytes(16))
    return Announce(node=node, sequence=Sequence(1), state=NodeState.FETCHING, port=6881, have=have, rack="forged")


async def forge_ids(target: Target, own: str, random: Random) -> None:
    """Announce another node each time."""
    client = await dial(target, own)
    while True:
        await client.say(request(ANNOUNCE_PATH, encode_announce(replace(announce(target, random), free_lease_slots=2))))
        await client.hear()
        await trio.sleep(PAUSE_S)


async def drip(target: Target, own: str, _random: Random) -> None:
    """Send a body a byte at a time."""
    client = await dial(target, own)
    await client.say(request(ANNOUNCE_PATH, b"", length=500_000))
    while True:
        await client.say(b"x")
        await trio.sleep(PAUSE_S)


async def burn_leases(target: Target, own: str, random: Random) -> None:
    """Take all the leases that are given and say at once that they have been received."""
    client = await dial(target, own)
    node = replace(
        announce(target, random),
        port=0,
        free_lease_slots=64,
        have={target.info_hash: piece_set.encode(0, target.count)},
    )
    received: tuple[LeaseId, ...] = ()
    while True:
        await client.say(request(ANNOUNCE_PATH, encode_announce(replace(node, received=received))))
        body = await client.hear()
        with suppress(ValueError):
            received = tuple(lease.id for lease in decode_handout(body).leases)
        await trio.sleep(PAUSE_S)


async def idle(target: Target, own: str, _random: Random) -> None:
    """Hold connections and say nothing."""
    held = [await dial(target, own) for _ in range(IDLE_EACH)]
    async with trio.open_nursery() as nursery:
        for client in held:
            nursery.start_soon(client.hear)


async def speak_http_2(target: Target, own: str, _random: Random) -> None:
    """Begin HTTP/2 without asking."""
    client = await dial(target, own)
    await client.say(PREFACE)
    while True:
        await client.hear()


async def forge_reports(target: Target, own: str, random: Random) -> None:
    """Report boots that never were."""
    client = await dial(target, own)
    while True:
        report = BootReport(node=random.randbytes(16).hex(), outcome=FAILED, error="\x1b[2J\n" * 200)
        await client.say(request(REPORT_PATH, encode_report(report)))
        await client.hear()
        await trio.sleep(PAUSE_S)


KINDS: tuple[Callable[[Target, str, Random], Awaitable[None]], ...] = (
    forge_ids,
    drip,
    burn_leases,
    idle,
    speak_http_2,
    forge_reports,
)


async def attack(target: Target, number: int) -> None:
    """Be hostile host `number`, again and again."""
    own, random = f"127.66.{number >> 8}.{1 + (number & 127)}", Random(number)
    while True:
        try:
            await KINDS[number % len(KINDS)](target, own, random)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        await trio.sleep(PAUSE_S)


async def attack_all(order: dict[str, Any]) -> None:
    """Be as many hosts as ordered, for as long as ordered."""
    context = ssl.create_default_context(cafile=order["ca"])
    info_hash = InfoHash(bytes.fromhex(order["info_hash"]))
    target = Target(order["port"], context, info_hash, order["pieces"])
    with trio.move_on_after(order["seconds"]):
        async with trio.open_nursery() as nursery:
            for number in range(order["hosts"]):
                nursery.start_soon(attack, target, number)


if __name__ == "__main__":
    trio.run(attack_all, json.loads(sys.argv[1]))
