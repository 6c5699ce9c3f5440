"""Where machines know the server: what of a `Host` header is taken, and what nodes are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.boot_script.grammar import Source
from seeder.stage0.asked_at import asked_at, server_url

OWN = Source("172.17.0.2", 8080)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("10.0.0.1:18080", Source("10.0.0.1", 18080)),
        ("10.0.0.1", Source("10.0.0.1", 80)),
        ("172.17.0.2", Source("172.17.0.2", 8080)),
        ("boot.example:8080", Source("boot.example", 8080)),
        ("boot", Source("boot", 80)),
        ("[fd00::7]:8080", Source("fd00::7", 8080)),
        ("[fd00::7]", Source("fd00::7", 80)),
        ("[::ffff:10.0.0.1]:8080", Source("10.0.0.1", 8080)),
    ],
)
def test_an_address_or_a_name_that_was_asked_at_is_taken(header: str, expected: Source) -> None:
    assert asked_at(header, OWN, default_port=80) == expected


@pytest.mark.parametrize(
    "header", ["", "'; halt; '", "a b", "10.0.0.1:0", "10.0.0.1:99999", "10.0.0.256", "a${net0/ip}", "a\nb:80", "[::1"]
)
def test_anything_else_is_passed_over(header: str) -> None:
    assert asked_at(header, OWN, default_port=80) == OWN


@given(st.text())
def test_no_header_writes_more_than_a_host_and_a_port_into_a_script(header: str) -> None:
    taken = asked_at(header, OWN, default_port=80)
    assert Source(taken.host, taken.port).ipxe.isprintable()
    assert not set(taken.host) & set(" '\"$;&|#\\{}()/\n")


def told(asked: str, *covered: str) -> tuple[str, bool]:
    return server_url(asked, "172.17.0.2", 8470, is_covered=lambda host: host in covered)


def test_nodes_are_told_what_the_certificate_is_for_or_the_only_way_there_is() -> None:
    assert told("boot.example", "boot.example") == ("https://boot.example:8470", True)
    assert told("10.0.0.1", "10.0.0.1") == ("https://10.0.0.1:8470", True)
    assert told("10.0.0.1") == ("https://10.0.0.1:8470", False)
    assert told("boot") == ("https://172.17.0.2:8470", False)
    assert told("fd00::7", "fd00::7") == ("https://[fd00::7]:8470", True)
