"""One DHCPDISCOVER as a machine's firmware sends it (RFC 2131, RFC 4578), and what is offered, as JSON on one line.

Arguments: interface, MAC address, architecture (option 93) or `-`, vendor class (option 60) or `-`, `ipxe` or a GUID
(option 97) or nothing.
Prints `null` if nobody answers within five seconds, as dnsmasq pings an address for three before it offers it.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys

_COOKIE = bytes.fromhex("63825363")
_WANTED = bytes([1, 3, 6, 12, 15, 43, 54, 60, 66, 67])
_TRIES, _TRY_S = 2, 2.5


def discover(
    transaction: bytes, mac: bytes, *, arch: int | None, vendor: str, is_ipxe: bool, guid: bytes = bytes(16)
) -> bytes:
    """Return the packet."""
    head = struct.pack("!4B4sHH16s16s192s", 1, 1, 6, 0, transaction, 0, 0x8000, b"", mac, b"")
    options = [(53, b"\1"), (55, _WANTED)]
    if arch is not None:
        options += [(93, struct.pack("!H", arch)), (94, b"\1\3\x10"), (97, b"\0" + guid)]
    if vendor:
        options.append((60, vendor.encode()))
    if is_ipxe:
        options += [(77, b"iPXE"), (175, b"\xb1\5\1\x1a\xf4\x10\0")]
    return head + _COOKIE + b"".join(bytes([code, len(data)]) + data for code, data in options) + b"\xff"


def read_offer(packet: bytes, transaction: bytes) -> dict[str, str] | None:
    """Return what an answer to this transaction says, None if it is none; boot file and server from either place."""
    if len(packet) < 240 or packet[0] != 2 or packet[4:8] != transaction:
        return None
    options: dict[int, bytes] = {}
    at = 240
    while at < len(packet) and packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        length = packet[at + 1]
        options[packet[at]] = packet[at + 2 : at + 2 + length]
        at += 2 + length
    file = options.get(67) or packet[108:236]
    return {
        "address": socket.inet_ntoa(packet[16:20]),
        "server": socket.inet_ntoa(packet[20:24]),
        "file": file.split(b"\0", 1)[0].decode(errors="replace"),
        "vendor": options.get(60, b"").decode(errors="replace"),
        "menu": options.get(43, b"").decode("latin-1"),
        "routers": _addresses(options.get(3, b"")),
        "name_servers": _addresses(options.get(6, b"")),
    }


def _addresses(data: bytes) -> str:
    return " ".join(socket.inet_ntoa(data[at : at + 4]) for at in range(0, len(data), 4))


def main() -> None:
    """Ask and print."""
    interface, mac, arch, vendor, *more = sys.argv[1:]
    transaction = os.urandom(4)
    packet = discover(
        transaction,
        bytes.fromhex(mac.replace(":", "")),
        arch=None if arch == "-" else int(arch),
        vendor="" if vendor == "-" else vendor,
        is_ipxe=more == ["ipxe"],
        guid=bytes.fromhex(more[0]) if more and more != ["ipxe"] else bytes(16),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        client.bind(("", 68))
        client.settimeout(_TRY_S)
        for _ in range(_TRIES):
            client.sendto(packet, ("255.255.255.255", 67))
            try:
                while True:
                    if (offer := read_offer(client.recv(4096), transaction)) is not None:
                        print(json.dumps(offer))
                        return
            except TimeoutError:
                continue
    print("null")


if __name__ == "__main__":
    main()
