"""Tells when this machine's addresses change, from the kernel's own notices (rtnetlink(7), RTM_NEWADDR, RTM_DELADDR).

A neighbour that has moved must be announced anew, and joins its multicast group on new cards. Renewals of an address
that is there already are no change. It will not read or set addresses in any other way.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Iterator

import trio

Address = tuple[int, bytes]
"""An interface's index and an address's raw bytes."""

_NEW, _GONE, _ASK = 20, 21, 22
_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_REQUEST_DUMP = 0x301
_HEADER, _ADDRESS_MESSAGE, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")
_IFA_ADDRESS = 1
_SETTLE_S = 0.5


def parse(data: bytes) -> Iterator[tuple[bool, Address]]:
    """Yield whether an address is there and the address, for every notice in a netlink message; skip the rest."""
    while len(data) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        body, data = data[_HEADER.size : length], data[(length + 3) & ~3 :]
        if kind in (_NEW, _GONE) and len(body) >= _ADDRESS_MESSAGE.size:
            interface = _ADDRESS_MESSAGE.unpack_from(body)[4]
            address = _attribute(body[_ADDRESS_MESSAGE.size :])
            if address:
                yield kind == _NEW, (interface, address)


def _attribute(data: bytes) -> bytes:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            return b""
        if kind == _IFA_ADDRESS:
            return data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
    return b""


async def changes() -> AsyncIterator[None]:
    """Yield each time the set of addresses has changed and been still for half a second; raises OSError."""
    known: set[Address] = set()
    with trio.socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        await netlink.bind((0, _GROUPS))
        ask = _ADDRESS_MESSAGE.pack(0, 0, 0, 0, 0)
        await netlink.send(_HEADER.pack(_HEADER.size + len(ask), _ASK, _REQUEST_DUMP, 1, 0) + ask)
        is_first = True
        while True:
            before = frozenset(known)
            _apply(known, await netlink.recv(1 << 16))
            while True:
                with trio.move_on_after(_SETTLE_S) as still:
                    _apply(known, await netlink.recv(1 << 16))
                if still.cancelled_caught:
                    break
            if known != before and not is_first:
                yield
            is_first = False


def _apply(known: set[Address], data: bytes) -> None:
    for is_there, address in parse(data):
        (known.add if is_there else known.discard)(address)
