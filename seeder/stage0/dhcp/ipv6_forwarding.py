"""Ask the kernel whether this machine forwards IPv6 from an interface: it may be a router there then.

By rtnetlink(7), RTM_GETNETCONF, as /proc/sys/net is hidden from a service with `ProcSubset=pid` (systemd.exec(5)).
"""

from __future__ import annotations

import socket
import struct

_ASK, _TOLD = 82, 80
"""RTM_GETNETCONF and RTM_NEWNETCONF."""
_REQUEST = 1
_INTERFACE, _FORWARDING = 1, 2
"""NETCONFA_IFINDEX and NETCONFA_FORWARDING."""
_HEADER, _MESSAGE, _ATTRIBUTE, _NUMBER = (struct.Struct(each) for each in ("=IHHII", "=B3x", "=HH", "=i"))
_BOUND_S = 1.0
_ANSWER_BYTES = 4096


def forwards_ipv6(interface: str) -> bool:
    """Return whether this machine forwards IPv6 from an interface (ip-sysctl, `forwarding`), or nobody knows."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.settimeout(_BOUND_S)
            netlink.send(_question(socket.if_nametoindex(interface)))
            return parse_answer(netlink.recv(_ANSWER_BYTES))
    except OSError:
        return True


def _question(index: int) -> bytes:
    length = _ATTRIBUTE.size + _NUMBER.size
    asked = _MESSAGE.pack(socket.AF_INET6) + _ATTRIBUTE.pack(length, _INTERFACE) + _NUMBER.pack(index)
    return _HEADER.pack(_HEADER.size + len(asked), _ASK, _REQUEST, 1, 0) + asked


def parse_answer(answer: bytes) -> bool:
    """Return whether an answer says that an interface forwards, or says nothing of it, as an error does."""
    if len(answer) < _HEADER.size or _HEADER.unpack_from(answer)[1] != _TOLD:
        return True
    rest = answer[_HEADER.size + _MESSAGE.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if not _ATTRIBUTE.size <= length <= len(rest):
            break
        if kind == _FORWARDING and length == _ATTRIBUTE.size + _NUMBER.size:
            return bool(_NUMBER.unpack_from(rest, _ATTRIBUTE.size)[0])
        rest = rest[(length + 3) & ~3 :]
    return True
