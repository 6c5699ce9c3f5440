"""The kernel's notices of addresses."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from leecher.machine.addresses import parse


def notice(kind: int, address: bytes, *, interface: int = 2) -> bytes:
    label = struct.pack("=HH", 9, 3) + b"eth0\0" + bytes(3)
    body = struct.pack("=BBBBI", 2, 24, 0, 0, interface) + label + struct.pack("=HH", 4 + len(address), 1) + address
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_notices_of_new_and_gone_addresses_are_told_apart() -> None:
    data = notice(20, bytes([10, 0, 0, 5])) + notice(21, bytes([10, 0, 0, 4]), interface=3)
    assert list(parse(data)) == [(True, (2, bytes([10, 0, 0, 5]))), (False, (3, bytes([10, 0, 0, 4])))]


def test_other_notices_are_passed_over() -> None:
    assert list(parse(notice(16, bytes(4)) + notice(20, bytes([10, 0, 0, 5])))) == [(True, (2, bytes([10, 0, 0, 5])))]


@given(st.binary(max_size=200))
def test_noise_is_passed_over(noise: bytes) -> None:
    assert all(isinstance(is_there, bool) for is_there, _ in parse(noise))
