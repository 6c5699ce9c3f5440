"""Asks on an interface as a machine's firmware does, and hears who answers DHCP there (RFC 2131). Takes no address."""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import suppress

from seeder.stage0.dhcp.dhcp_watch import QUESTION

_COOKIE = bytes.fromhex("63825363")
_WAIT_S, _TRIES = 4.0, 2
"""dnsmasq pings for three seconds before it answers."""


def servers_heard(interface: str) -> list[str]:
    """Return the addresses of the servers that answered, after some seconds; raise OSError if it cannot be asked."""
    transaction, mac = os.urandom(4), bytes.fromhex(QUESTION.replace(":", "")) + os.urandom(2)
    heard: set[str] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for option in (socket.SO_REUSEADDR, socket.SO_BROADCAST):
            client.setsockopt(socket.SOL_SOCKET, option, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        client.bind(("", 68))
        for _ in range(_TRIES):
            client.sendto(discover(transaction, mac), ("255.255.255.255", 67))
            end_s = time.monotonic() + _WAIT_S / _TRIES
            while (left_s := end_s - time.monotonic()) > 0:
                client.settimeout(left_s)
                with suppress(TimeoutError):
                    packet, sender = client.recvfrom(4096)
                    heard.update(filter(None, [answered(packet, transaction, sender[0])]))
    return sorted(heard)


def discover(transaction: bytes, mac: bytes) -> bytes:
    """Return a DHCPDISCOVER as a BIOS's PXE sends it, to be answered by broadcast."""
    head = struct.pack("!4B4sHH16s16s192s", 1, 1, 6, 0, transaction, 0, 0x8000, b"", mac, b"")
    options = [
        (53, b"\1"), (55, bytes([1, 3, 6, 54, 60, 66, 67])), (60, b"PXEClient:Arch:00000:UNDI:002001"),
        (93, b"\0\0"), (94, b"\1\2\1"), (97, b"\0" + bytes(16)),
    ]  # fmt: skip
    return head + _COOKIE + b"".join(bytes([code, len(data)]) + data for code, data in options) + b"\xff"


def answered(packet: bytes, transaction: bytes, sender: str) -> str:
    """Return which server an answer to this question is from; nothing if it is none."""
    if len(packet) < 244 or packet[0] != 2 or packet[4:8] != transaction or packet[236:240] != _COOKIE:
        return ""
    at = 240
    while at + 1 < len(packet) and packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        code, length = packet[at], packet[at + 1]
        if code == 54 and length == 4 and at + 6 <= len(packet):
            return socket.inet_ntoa(packet[at + 2 : at + 6])
        at += 2 + length
    return sender
