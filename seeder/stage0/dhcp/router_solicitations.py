"""Answer machines that look for an IPv6 router, beside our own DHCP: iPXE waits for one, sixteen seconds where none is.

iPXE goes on with what DHCP has told it when its last solicitation has run out too, or has been answered
(findings/ipxe-waits-for-an-ipv6-router.sh). The answer goes to whoever has asked, alone, and names no router (its
lifetime is 0), no prefix and no server: nobody's routes or addresses change (RFC 4861, sections 4.2 and 6.3.4).

There is none where a router has been heard, which is asked for at the start: it answers itself, and a Linux that has
heard of one asks for no other. And none where this machine forwards IPv6: it may be a router, advertised from the same
address by another program, whose route a lifetime of 0 would take away.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import cast

import trio

from seeder.stage0.dhcp.ipv6_forwarding import forwards_ipv6

_SOLICITATION, _ADVERTISEMENT = 133, 134
_HOPS = 255
_ALL_ROUTERS = "ff02::2"
_ICMP6_FILTER = 1
"""The socket option (RFC 3542, section 3.2), which Python does not name: a bit for each type that is not wanted."""
_HEAD_BYTES, _ADVERTISEMENT_BYTES = 8, 16
_PACKET_BYTES = 1500
_CONTROL_BYTES = 128
_AGAIN_S = 1.0
ADVERTISEMENT = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)
"""A router advertisement that says nothing (RFC 4861, section 4.2); the kernel fills its checksum in (RFC 3542)."""


_QUESTION = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0)


def is_solicitation(packet: bytes, *, source: str, hops: int) -> bool:
    """Return whether a packet is a router solicitation that can be answered to its sender.

    It is as RFC 4861, section 6.1.1 has it, and from a link-local address, as no other gets an answer from one.
    """
    return (
        len(packet) >= _HEAD_BYTES
        and packet[:2] == bytes([_SOLICITATION, 0])
        and hops == _HOPS
        and source.lower().startswith("fe80:")
    )


def router_lifetime_s(packet: bytes, *, source: str, hops: int) -> int:
    """Return for how many seconds a packet makes its sender a router (RFC 4861, section 6.1.2), 0 for any other."""
    is_valid = len(packet) >= _ADVERTISEMENT_BYTES and packet[:2] == bytes([_ADVERTISEMENT, 0]) and hops == _HOPS
    return int.from_bytes(packet[6:8]) if is_valid and source.lower().startswith("fe80:") else 0


def open_socket(interface: str) -> socket.socket:
    """Return a socket that hears those who ask for a router on an interface, and routers.

    Raises OSError where there is no IPv6, and without CAP_NET_RAW.
    """
    heard = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    try:
        wanted = [0xFFFFFFFF] * 8
        for kind in (_SOLICITATION, _ADVERTISEMENT):
            wanted[kind >> 5] ^= 1 << (kind & 31)
        heard.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("@8I", *wanted))
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        for option in (socket.IPV6_UNICAST_HOPS, socket.IPV6_MULTICAST_HOPS):
            heard.setsockopt(socket.IPPROTO_IPV6, option, _HOPS)
        heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(interface))
        group = socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS)
        index = struct.pack("@I", socket.if_nametoindex(interface))
        heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + index)
    except OSError:
        heard.close()
        raise
    return heard


async def answer_solicitations(interface: str) -> None:
    """Answer an interface's router solicitations until cancelled; return at once where there is no IPv6."""
    try:
        heard = trio.socket.from_stdlib_socket(open_socket(interface))
    except OSError:
        return
    router_until_s = 0.0
    with heard:
        with suppress(OSError):
            await heard.sendto(_QUESTION, (_ALL_ROUTERS, 0))
        while True:
            try:
                packet, control, _, sender = await heard.recvmsg(_PACKET_BYTES, _CONTROL_BYTES)
                address, hops = cast("tuple[str, int, int, int]", sender), _hops(control)  # ipv6(7)
                now_s = trio.current_time()
                router_until_s = max(router_until_s, now_s + router_lifetime_s(packet, source=address[0], hops=hops))
                is_asked = is_solicitation(packet, source=address[0], hops=hops)
                if is_asked and router_until_s <= now_s and not forwards_ipv6(interface):
                    await heard.sendto(ADVERTISEMENT, address)
            except OSError:  # the interface went down, or has lost its own address: machines ask again
                await trio.sleep(_AGAIN_S)


def _hops(control: list[tuple[int, int, bytes]]) -> int:
    """Return the hop limit that a packet came with, 0 if that was not told."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT):
            return int(struct.unpack("@i", data[:4])[0])
    return 0
