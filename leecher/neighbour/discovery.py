"""Finding neighbours without a server: a probe by multicast, or to a list of addresses, answered by who is there.

A probe names the keys that the asker trusts; whoever has booted under one of them answers with the number of its
manifest and its ports. Answers are hints: what a neighbour then serves is verified like anything else, and which
answers are passed on at all is decided by `leecher.policy.hearsay`. Packets do not leave the LAN (a TTL of 1).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from os import urandom

import trio

from leecher.policy.hearsay import AnswerLimit, Hearsay
from swarmboot.codec import DecodeError
from swarmboot.text.addresses import connection_address, is_ipv6, is_loopback
from swarmboot.wire.discovery import (
    DATAGRAM_MAX_BYTES,
    GROUP,
    NONCE_BYTES,
    PORT,
    Presence,
    Probe,
    decode_datagram,
    encode_presence,
    encode_probe,
)

PROBE_EVERY_S = 1.0
_IP_MREQN = "4s4si"


@dataclass(frozen=True, slots=True)
class Found:
    """A neighbour that answered a probe."""

    host: str
    presence: Presence


class Discovery:
    """Sends probes to a LAN and answers them. `presence` says what to answer, None while there is nothing to offer."""

    def __init__(
        self,
        probe: Probe,
        *,
        bind: str,
        neighbours: Iterable[tuple[str, int]],
        is_multicast: bool,
        presence: Callable[[], Presence | None],
    ) -> None:
        self._probe = probe
        self._bind = bind
        self._neighbours = tuple(neighbours)
        self._is_multicast = is_multicast
        self._presence = presence
        self._hearsay = Hearsay(is_here=is_loopback(bind))
        self._limit = AnswerLimit()
        self._group: trio.socket.SocketType | None = None

    def join_again(self) -> None:
        """Join the group on interfaces that have come up since."""
        if self._group is not None:
            self._join(self._group)

    async def listen(self) -> None:
        """Answer probes until cancelled."""
        addresses = [self._bind, GROUP] if self._is_multicast else [self._bind]
        async with trio.open_nursery() as nursery:
            for address in addresses:
                opened = self._open(address, PORT)
                if opened is not None and address == GROUP:
                    self._group = opened
                    self._join(opened)
                if opened is not None:
                    nursery.start_soon(self._hear_probes, opened, address == GROUP)
            nursery.start_soon(trio.sleep_forever)

    def _open(self, address: str, port: int) -> trio.socket.SocketType | None:
        """Return a bound socket, or None where another program has taken the port."""
        opened = socket.socket(socket.AF_INET6 if is_ipv6(address) else socket.AF_INET, socket.SOCK_DGRAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((address, port))
        except OSError:
            opened.close()
            return None
        return trio.socket.from_stdlib_socket(opened)

    def _join(self, opened: trio.socket.SocketType) -> None:
        for index in self._interfaces():
            request = struct.pack(_IP_MREQN, socket.inet_aton(GROUP), b"\0" * 4, index)
            _set(opened, socket.IP_ADD_MEMBERSHIP, request)

    def _interfaces(self) -> list[int]:
        """Return the indices of the interfaces to speak on: the loopback one only when bound to it."""
        is_here = is_loopback(self._bind)
        return [index for index, name in socket.if_nameindex() if (name == "lo") == is_here]

    async def _hear_probes(self, opened: trio.socket.SocketType, is_of_group: bool) -> None:
        async for message, sender in self._messages(opened):
            if isinstance(message, Probe) and self._may_answer(connection_address(sender[0]), is_of_group=is_of_group):
                await self._answer(message, sender)

    async def _messages(
        self, opened: trio.socket.SocketType
    ) -> AsyncIterator[tuple[Probe | Presence, tuple[str, int]]]:
        """Yield what others say."""
        while True:
            try:
                data, sender = await opened.recvfrom(DATAGRAM_MAX_BYTES + 1)
                message = decode_datagram(data)
            except (OSError, DecodeError):
                continue
            if message.node != self._probe.node:
                yield message, sender

    def _may_answer(self, asker: str, *, is_of_group: bool) -> bool:
        is_near = bool(asker) and (not is_of_group or is_on_link(asker))
        return is_near and self._limit.may_answer(asker, is_of_group=is_of_group, now_s=trio.current_time())

    async def _answer(self, probe: Probe, asker: tuple[str, int]) -> None:
        """Tell an asker that trusts one of our keys where we are, from the address that we serve at."""
        presence = self._presence()
        answering = self._open(self._bind, 0) if presence and set(probe.keys) & set(self._probe.keys) else None
        if answering is not None and presence is not None:
            with answering:
                await _send(answering, encode_presence(replace(presence, nonce=probe.nonce)), asker)

    async def probe(self, found: Callable[[Found], None], *, is_done: Callable[[], bool]) -> None:
        """Ask who is there every second, from a socket of its own, and hand on who answers, until `is_done`."""
        asking = self._open(self._bind, 0)
        if asking is None:
            return
        with asking:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear_presences, asking, found)
                while not is_done():
                    await self._probe_once(asking)
                    await trio.sleep(PROBE_EVERY_S)
                nursery.cancel_scope.cancel()

    async def _hear_presences(self, asking: trio.socket.SocketType, found: Callable[[Found], None]) -> None:
        async for message, sender in self._messages(asking):
            host = connection_address(sender[0])
            if not isinstance(message, Presence) or not host:
                continue
            is_near = self._hearsay.was_asked(host) or is_on_link(host)
            if self._hearsay.is_believed(host, message, is_on_link=is_near, now_s=trio.current_time()):
                found(Found(host, message))

    async def _probe_once(self, asking: trio.socket.SocketType) -> None:
        nonce = urandom(NONCE_BYTES)
        self._hearsay.probed(nonce)
        data = encode_probe(replace(self._probe, nonce=nonce))
        for host, port in self._neighbours:
            for address in await _resolve(asking, host, port):
                self._hearsay.asked(connection_address(address[0]))
                await _send(asking, data, address)
        if not self._is_multicast or asking.family != socket.AF_INET:
            return
        for index in self._interfaces():
            _set(asking, socket.IP_MULTICAST_IF, struct.pack(_IP_MREQN, b"\0" * 4, b"\0" * 4, index))
            await _send(asking, data, (GROUP, PORT))


def is_on_link(host: str) -> bool:
    """Return whether an IPv4 address is reached without a router, or is our own: the kernel is asked, nothing is sent.

    Follows socket(7), SO_DONTROUTE, which IPv6 does not have; group and broadcast addresses are not on any link.
    """
    if is_ipv6(host):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
        try:
            trial.connect((host, PORT))
        except OSError:
            return False
    return True


async def _resolve(asking: trio.socket.SocketType, host: str, port: int) -> list[tuple[str, int]]:
    """Return the addresses of a neighbour that the settings name, of the family that is asked in; none if unknown."""
    try:
        found = await trio.socket.getaddrinfo(host, port, family=asking.family, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return [(str(address[0]), int(address[1])) for _, _, _, _, address in found]


def _set(opened: trio.socket.SocketType, option: int, value: bytes) -> None:
    """Set a multicast option where the interface allows it: one without an address or multicast is passed over."""
    with suppress(OSError):
        opened.setsockopt(socket.IPPROTO_IP, option, value)


async def _send(opened: trio.socket.SocketType, data: bytes, address: tuple[str, int]) -> None:
    """Send a datagram; one that cannot be sent is lost, as any may be."""
    with suppress(OSError):
        await opened.sendto(data, address)
