"""Addresses as text: read strictly, written in one way, and which of them a node may be told to dial."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.errors import MalformedSettingError
from swarmboot.text import addresses


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("10.0.0.7", "10.0.0.7"), ("FD00:0::7", "fd00::7"), ("::ffff:10.0.0.7", "10.0.0.7"), ("::1", "::1")],
)
def test_an_address_is_read_into_its_canonical_form(text: str, canonical: str) -> None:
    assert addresses.read_address(text) == canonical
    assert addresses.connection_address(text) == canonical


@pytest.mark.parametrize(
    "text", ["", "a", "10.0.0.256", "10.0.0.07", "10.0.0.7\n", " 10.0.0.7", "fe80::1%eth0", "[::1]", "1", "10.0.0.7:80"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        addresses.read_address(text)


def test_the_scope_of_a_connections_address_is_left_out_and_a_socket_without_one_has_none() -> None:
    assert addresses.connection_address("fe80::1%eth0") == "fe80::1"
    assert addresses.connection_address("") == addresses.connection_address("/run/seeder.sock") == ""


@given(st.text(max_size=60))
def test_any_text_is_one_canonical_address_or_none(text: str) -> None:
    found = addresses.connection_address(text)
    assert not found or addresses.read_address(found) == found


@pytest.mark.parametrize("text", ["10.0.0.7", "192.168.1.1", "169.254.3.4", "8.8.8.8", "fd00::7", "2001:db8:1::1"])
def test_a_machines_address_may_be_dialled(text: str) -> None:
    assert addresses.is_dialable(text)


@pytest.mark.parametrize("text", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_addresses_may_be_dialled_only_where_all_of_it_is_on_one_machine(text: str) -> None:
    assert not addresses.is_dialable(text)
    assert addresses.is_dialable(text, is_here=True)
    assert addresses.is_loopback(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.192.84.70",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "ff02::1",
        "fe80::1",
    ],
)
def test_what_is_no_machines_address_is_never_dialled(text: str) -> None:
    assert not addresses.is_dialable(text, is_here=True)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_host_and_port_come_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    assert addresses.split_host_port(addresses.host_port(str(address), port)) == (str(address), port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a:",
        "a:b",
        "a:65536",
        "a:-1",
        "::1",
        "[::1]",
        "[a]:1",
        "a b:1",
        "10.0.0.256:1",
        "a/b:1",
        "[::1:1",
        "a:１",
    ],
)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        addresses.split_host_port(text)


def test_a_url_shows_an_ipv6_address_in_brackets_and_leaves_out_https_own_port() -> None:
    assert addresses.http_url("fd00::7", 8471) == "http://[fd00::7]:8471"
    assert addresses.http_url("10.0.0.7", 80) == "http://10.0.0.7"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("https://10.0.0.1:8470/", "https://10.0.0.1:8470"),
        ("https://Seeder.example/a/b", "https://Seeder.example/a/b"),
        ("http://[fd00::1]", "http://[fd00::1]"),
    ],
)
def test_a_servers_url_is_read(text: str, read: str) -> None:
    assert addresses.read_server(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "ftp://a", "https://", "https://a b", "https://a\n", "https://a'b", "https://a/b'", "https://a/${x}",
        "https://u:p@a", "https://a?q", "https://a#f", "https://a?", "https://a#", "https://a:0", "https://a/%41",
        "https://[::1%eth0]", "https://10.0.0.256", "https://a&&b", "HTTPS://a", "https://a/b;c", "\thttps://a",
    ],
)  # fmt: skip
def test_what_is_no_servers_url_is_refused(text: str) -> None:
    with pytest.raises(MalformedSettingError):
        addresses.read_server(text)
