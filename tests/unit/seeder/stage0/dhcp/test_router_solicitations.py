"""Which router solicitations are answered, where, and how."""

from __future__ import annotations

import pytest

from seeder.stage0.dhcp.ipv6_forwarding import parse_answer
from seeder.stage0.dhcp.router_solicitations import ADVERTISEMENT, is_solicitation, router_lifetime_s

BARE = bytes.fromhex("8500da8300000000")
OF_IPXE = bytes.fromhex("8500da83000000000101525400000001")
"""As iPXE 1.0.0+git-20190125 of Debian 12 sends it."""
LINK_LOCAL = "fe80::5054:ff:fe00:1"


@pytest.mark.parametrize("packet", [BARE, OF_IPXE])
def test_a_solicitation_from_the_link_is_answered(packet: bytes) -> None:
    assert is_solicitation(packet, source=LINK_LOCAL, hops=255)


@pytest.mark.parametrize(
    ("packet", "source", "hops"),
    [
        (OF_IPXE, LINK_LOCAL, 254),
        (OF_IPXE, "2001:db8::1", 255),
        (OF_IPXE, "::", 255),
        (BARE[:-1], LINK_LOCAL, 255),
        (b"", LINK_LOCAL, 255),
        (b"\x86" + BARE[1:], LINK_LOCAL, 255),
        (b"\x85\x01" + BARE[2:], LINK_LOCAL, 255),
    ],
    ids=["routed", "global", "unspecified", "short", "empty", "another type", "another code"],
)
def test_anything_else_is_not(packet: bytes, source: str, hops: int) -> None:
    assert not is_solicitation(packet, source=source, hops=hops)


ROUTERS = bytes.fromhex("8600000040000708" + "00000000" * 2)


def test_a_router_is_one_for_as_long_as_it_says() -> None:
    assert router_lifetime_s(ROUTERS, source=LINK_LOCAL, hops=255) == 1800
    assert router_lifetime_s(ADVERTISEMENT, source=LINK_LOCAL, hops=255) == 0


@pytest.mark.parametrize(
    ("packet", "source", "hops"),
    [(ROUTERS, LINK_LOCAL, 64), (ROUTERS, "2001:db8::1", 255), (ROUTERS[:12], LINK_LOCAL, 255), (b"", "", 255)],
    ids=["routed", "global", "short", "empty"],
)
def test_what_no_router_may_have_sent_makes_none(packet: bytes, source: str, hops: int) -> None:
    assert router_lifetime_s(packet, source=source, hops=hops) == 0


def test_the_answer_names_no_router_no_server_and_no_prefix() -> None:
    kind, lifetime, options = ADVERTISEMENT[0], ADVERTISEMENT[6:8], ADVERTISEMENT[16:]
    assert (kind, lifetime, options) == (134, b"\0\0", b"")
    assert ADVERTISEMENT[5] == 0, "neither of the flags that send a machine to a DHCPv6 server"


HOST = bytes.fromhex("3c0000005000000001000000602300000a000000080001000200000008000200000000000800040000000000")
ROUTER = bytes.fromhex("3c0000005000000001000000602300000a000000080001000200000008000200010000000800040000000000")
"""The kernel's answers about an interface that does not forward and one that does (Linux 6.18), cut behind that."""
NO_INTERFACE = bytes.fromhex("30000000020000000100000060230000eaffffff1c0000005200010001000000000000000a000000")


def test_only_a_machine_that_says_that_it_does_not_forward_is_no_router() -> None:
    assert not parse_answer(HOST)
    assert parse_answer(ROUTER)


@pytest.mark.parametrize(
    "answer", [b"", NO_INTERFACE, HOST[:20], HOST[:34], HOST[:20] + bytes(4)],
    ids=["nothing", "an error", "no attribute", "cut", "an attribute of no length"],
)  # fmt: skip
def test_where_nobody_knows_it_is_taken_for_one(answer: bytes) -> None:
    assert parse_answer(answer)
