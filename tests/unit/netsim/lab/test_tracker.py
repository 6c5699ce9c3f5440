"""The ordinary tracker: BEP 3 replies with the compact peers of BEP 23."""

from __future__ import annotations

import pytest

from netsim.lab.strategies.programs.tracker import Swarms, answer, bencoded, compact

QUERY = "info_hash=%ff%00abc&port={port}&left=1"


def test_dictionaries_are_bencoded_in_the_order_of_their_keys() -> None:
    assert bencoded({b"peers": b"xy", b"interval": 30}) == b"d8:intervali30e5:peers2:xye"


def test_a_peer_is_four_bytes_of_address_and_two_of_port() -> None:
    assert compact("10.77.0.1", 6881) == bytes([10, 77, 0, 1, 0x1A, 0xE1])


def test_a_peer_hears_of_the_others_and_not_of_itself() -> None:
    swarms = Swarms()
    assert answer(swarms, QUERY.format(port=1), "10.0.0.1").endswith(b"5:peers0:e")
    assert answer(swarms, QUERY.format(port=2), "10.0.0.2").endswith(b"5:peers6:" + compact("10.0.0.1", 1) + b"e")
    assert answer(swarms, QUERY.format(port=2), "10.0.0.2").endswith(b"5:peers6:" + compact("10.0.0.1", 1) + b"e")


def test_swarms_of_different_torrents_are_strangers() -> None:
    swarms = Swarms()
    answer(swarms, "info_hash=a&port=1", "10.0.0.1")
    assert answer(swarms, "info_hash=b&port=2", "10.0.0.2").endswith(b"5:peers0:e")


def test_a_peer_that_stops_is_forgotten() -> None:
    swarms = Swarms()
    answer(swarms, QUERY.format(port=1), "10.0.0.1")
    answer(swarms, QUERY.format(port=1) + "&event=stopped", "10.0.0.1")
    assert answer(swarms, QUERY.format(port=2), "10.0.0.2").endswith(b"5:peers0:e")


def test_no_more_peers_are_given_than_wanted() -> None:
    swarms = Swarms()
    for port in range(1, 9):
        answer(swarms, QUERY.format(port=port), "10.0.0.1")
    assert b"5:peers18:" in answer(swarms, QUERY.format(port=9) + "&numwant=3", "10.0.0.1")


@pytest.mark.parametrize("query", ["", "port=1", "info_hash=a", "info_hash=a&port=x", "info_hash=a&port=70000"])
def test_a_malformed_announce_is_refused(query: str) -> None:
    with pytest.raises((KeyError, ValueError, OverflowError)):
        answer(Swarms(), query, "10.0.0.1")
