"""Messages between nodes and the seeder: they come back as they were sent, or are refused in one way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.codec import DecodeError, pack, unpack
from swarmboot.ids import MAX_SEQUENCE, Digest, InfoHash, LeaseId, NodeId, NodeKey, PieceIndex, Sequence
from swarmboot.text.addresses import is_dialable, read_address
from swarmboot.wire import announce as wire
from swarmboot.wire.about import About
from swarmboot.wire.announce import Announce, Handout, Lease, Neighbour, NodeState
from swarmboot.wire.discovery import DATAGRAM_MAX_BYTES, Presence, Probe, decode_datagram, encode_presence, encode_probe
from tests.support.builders import field_names

T = TypeVar("T")
NODE = NodeId(bytes(16))

nodes = st.binary(min_size=16, max_size=16).map(NodeId)
info_hashes = st.binary(min_size=32, max_size=32).map(InfoHash)
sequences = st.integers(0, MAX_SEQUENCE).map(Sequence)
ports = st.integers(0, 65535)
open_ports = st.integers(1, 65535)
announces = st.builds(
    Announce,
    node=nodes,
    sequence=sequences,
    state=st.sampled_from(NodeState),
    port=ports,
    http_port=ports,
    rack=st.text(max_size=64),
    have=st.dictionaries(info_hashes, st.binary(max_size=64), max_size=4),
    free_lease_slots=st.integers(0, wire.MAX_LEASES),
    received=st.lists(st.integers(0, 2**53).map(LeaseId), max_size=4).map(tuple),
    returned=st.lists(st.integers(0, 2**53).map(LeaseId), max_size=4).map(tuple),
    is_starving=st.booleans(),
    from_neighbours_bytes=st.integers(0, 2**53),
    from_origin_bytes=st.integers(0, 2**53),
    serves=st.lists(st.binary(min_size=32, max_size=32).map(Digest), max_size=2).map(tuple),
    serves_bytes_per_s=st.integers(0, 2**53),
    loads_sent=st.none() | st.integers(0, 2**53),
    key=st.sampled_from([0, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(NodeKey),
    about=st.none()
    | st.builds(
        About,
        boot=st.uuids().map(str) | st.just(""),
        mac=st.binary(min_size=6, max_size=20).map(lambda raw: raw.hex(":")) | st.just(""),
        name=st.from_regex(r"[A-Za-z0-9._-]{0,64}", fullmatch=True),
        kernel=st.from_regex(r"[A-Za-z0-9._+~-]{0,64}", fullmatch=True),
    ),
    sent_ms=st.integers(0, 2**53),
)
leases = st.builds(
    Lease,
    id=st.integers(0, 2**53).map(LeaseId),
    info_hash=info_hashes,
    first=st.integers(0, 2**20 - 1).map(PieceIndex),
    count=st.integers(1, 2**20),
    origin=st.integers(0, 31),
)
hosts = (
    st.ip_addresses()
    .map(str)
    .filter(partial(is_dialable, is_here=True))
    .filter(lambda host: host == read_address(host))
)
neighbours = st.builds(Neighbour, host=hosts, port=open_ports, http_port=ports)
handouts = st.builds(
    Handout,
    announce_after_s=st.floats(0, 86400),
    neighbours=st.lists(neighbours, max_size=4).map(tuple),
    leases=st.lists(leases, max_size=4).map(tuple),
    origins=st.lists(st.sampled_from(("", "https://10.0.0.2:8470", "http://mirror.example/site")), max_size=3).map(
        tuple
    ),
    is_supplied=st.booleans(),
    is_stage0_wanted=st.booleans(),
    stage0_from=st.lists(neighbours, max_size=2).map(tuple),
    uplink_bytes_per_s=st.floats(0.0, 1e12),
)
nonces = st.just(b"") | st.binary(min_size=16, max_size=16)
probes = st.builds(
    Probe,
    node=nodes,
    keys=st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=4).map(tuple),
    nonce=nonces,
)
presences = st.builds(
    Presence,
    node=nodes,
    sequence=st.integers(1, MAX_SEQUENCE).map(Sequence),
    port=open_ports,
    http_port=open_ports,
    nonce=nonces,
)


@given(announces)
def test_an_announce_comes_back(announce: Announce) -> None:
    assert wire.decode_announce(wire.encode_announce(announce)) == announce


@given(handouts)
def test_a_handout_comes_back(handout: Handout) -> None:
    assert wire.decode_handout(wire.encode_handout(handout)) == handout


@given(probes)
def test_a_probe_comes_back(probe: Probe) -> None:
    assert decode_datagram(encode_probe(probe)) == probe


@given(presences)
def test_a_presence_comes_back(presence: Presence) -> None:
    assert decode_datagram(encode_presence(presence)) == presence


@pytest.mark.parametrize("decode", [wire.decode_announce, wire.decode_handout, decode_datagram])
@given(data=st.binary(max_size=200))
def test_random_bytes_are_a_decode_error(decode: Callable[[bytes], Any], data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


def check_a_changed_byte(
    value: T, encode: Callable[[T], bytes], decode: Callable[[bytes], T], data: st.DataObject
) -> None:
    """Check that a message with one byte changed is refused, or is another message."""
    encoded = bytearray(encode(value))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(encoded))
    except DecodeError:
        return
    has_same_fields = field_names(msgpack.unpackb(bytes(encoded))) == field_names(msgpack.unpackb(encode(value)))
    assert found != value or not has_same_fields


@given(announces, st.data())
def test_a_changed_byte_of_an_announce_is_refused_or_gives_another(announce: Announce, data: st.DataObject) -> None:
    check_a_changed_byte(announce, wire.encode_announce, wire.decode_announce, data)


@given(handouts, st.data())
def test_a_changed_byte_of_a_handout_is_refused_or_gives_another(handout: Handout, data: st.DataObject) -> None:
    check_a_changed_byte(handout, wire.encode_handout, wire.decode_handout, data)


def altered_announce(**changes: Any) -> bytes:
    announce = Announce(NODE, Sequence(1), NodeState.FETCHING, 6881)
    return pack({**unpack(wire.encode_announce(announce), max_bytes=1 << 16), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"node": bytes(15)},
        {"state": "asleep"},
        {"port": 65536},
        {"port": True},
        {"slots": wire.MAX_LEASES + 1},
        {"have": {bytes(20): b""}},
        {"have": {bytes(32): bytes((1 << 17) + 1)}},
        {"have": {"a": b""}},
        {"returned": [True]},
        {"returned": [-1]},
        {"returned": list(range(wire.MAX_LEASES + 1))},
        {"rack": 1},
        {"starving": 0},
        {"sequence": -1},
        {"serves": [bytes(31)]},
        {"serves": [bytes(32)] * (wire.MAX_SERVED + 1)},
        {"serves_rate": -1},
        {"key": bytes(15)},
        {"key": "a" * 16},
    ],
)
def test_an_announce_with_an_impossible_field_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        wire.decode_announce(altered_announce(**changes))


def test_an_unknown_field_of_an_announce_is_passed_over() -> None:
    assert wire.decode_announce(altered_announce(mood="good")).port == 6881


def test_an_announce_of_a_node_that_knows_nothing_of_stage_0_is_taken() -> None:
    older = unpack(altered_announce(), max_bytes=1 << 16)
    announce = wire.decode_announce(pack({name: older[name] for name in older if not name.startswith("serves")}))
    assert (announce.serves, announce.serves_bytes_per_s) == ((), 0)


def test_an_announce_of_a_node_without_a_key_is_taken() -> None:
    older = unpack(altered_announce(), max_bytes=1 << 16)
    del older["key"]
    assert wire.decode_announce(pack(older)).key == b""


def test_a_nodes_key_is_not_shown() -> None:
    announce = Announce(NODE, Sequence(1), NodeState.FETCHING, 6881, key=NodeKey(b"secret" + bytes(10)))
    assert "secret" not in repr(announce)


def test_a_handout_of_a_seeder_that_knows_nothing_of_stage_0_is_taken() -> None:
    older = unpack(altered_handout(), max_bytes=1 << 16)
    del older["stage0"]
    assert not wire.decode_handout(pack(older)).is_stage0_wanted


def test_a_handout_that_names_nobody_for_stage_0_is_as_it_was_before_there_was_such_a_thing() -> None:
    older = unpack(altered_handout(), max_bytes=1 << 16)
    assert "stage0_from" not in older
    assert wire.decode_handout(pack(older)).stage0_from == ()


def test_a_handout_of_a_seeder_that_does_not_name_its_uplink_is_taken() -> None:
    older = unpack(altered_handout(uplink=1.0), max_bytes=1 << 16)
    del older["uplink"]
    assert wire.decode_handout(pack(older)).uplink_bytes_per_s == 0.0


def altered_handout(**changes: Any) -> bytes:
    return pack({**unpack(wire.encode_handout(Handout(1.0)), max_bytes=1 << 16), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"announce_after": -1.0},
        {"announce_after": 1e9},
        {"neighbours": [["10.0.0.7", 1, 0]] * (wire.MAX_NEIGHBOURS + 1)},
        {"leases": [[1, bytes(32), 0, 0, 0]]},
        {"leases": [[1, bytes(31), 0, 1, 0]]},
        {"leases": [[-1, bytes(32), 0, 1, 0]]},
        {"leases": [[1, bytes(32), -1, 1, 0]]},
        {"leases": [[1, bytes(32), 0, 1, 32]]},
        {"leases": [[1, bytes(32), False, 1, 0]]},
        {"leases": [[1, bytes(32), 0, 1]]},
        {"origins": ["https://a"] * 33},
        {"origins": [1]},
        {"supplied": 1},
        {"uplink": -1.0},
        {"uplink": True},
    ],
)
def test_a_handout_with_an_impossible_field_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        wire.decode_handout(altered_handout(**changes))


@pytest.mark.parametrize(
    "bad",
    [
        ["10.0.0.7", 0, 0],
        ["10.0.0.7", 65536, 0],
        ["10.0.0.7", True, 0],
        ["10.0.0.7", 1],
        ["10.0.0.7\nshell", 1, 0],
        ["a.example", 1, 0],
        ["a" * 65, 1, 0],
        ["", 1, 0],
        ["0.0.0.0", 1, 0],
        ["0.0.0.5", 1, 0],
        ["::", 1, 0],
        ["224.0.0.1", 1, 0],
        ["255.255.255.255", 1, 0],
        ["ff02::1", 1, 0],
        ["fe80::1", 1, 0],
        ["fe80::1%eth0", 1, 0],
        [b"10.0.0.7", 1, 0],
        7,
        None,
    ],
)
def test_a_bad_neighbour_in_a_handout_costs_that_neighbour(bad: object) -> None:
    handout = wire.decode_handout(altered_handout(neighbours=[["10.0.0.8", 6881, 0], bad, ["fd00::9", 6881, 80]]))
    assert handout.neighbours == (Neighbour("10.0.0.8", 6881), Neighbour("fd00::9", 6881, 80))


def test_an_ipv4_address_in_an_ipv6_one_is_the_ipv4_address() -> None:
    handout = wire.decode_handout(altered_handout(neighbours=[["::ffff:10.0.0.8", 6881, 0]]))
    assert handout.neighbours == (Neighbour("10.0.0.8", 6881),)


@pytest.mark.parametrize("bad", ["ftp://a", "https://a b", "https://u@a", "https://a\n", "https://a?b", "file:///etc"])
def test_an_origin_that_is_no_url_is_the_server_itself_and_keeps_its_place(bad: str) -> None:
    assert wire.decode_handout(altered_handout(origins=[bad, "https://b"])).origins == ("", "https://b")


def test_a_host_that_an_old_node_announces_is_passed_over() -> None:
    assert wire.decode_announce(altered_announce(host="10.0.0.66\nshell")) == wire.decode_announce(altered_announce())
    assert "host" not in unpack(altered_announce(), max_bytes=1 << 16)


@pytest.mark.parametrize(
    ("decode", "most_bytes"),
    [
        (wire.decode_announce, wire.ANNOUNCE_MAX_BYTES),
        (wire.decode_handout, wire.HANDOUT_MAX_BYTES),
        (decode_datagram, DATAGRAM_MAX_BYTES),
    ],
)
def test_a_message_above_its_bound_is_refused_unread(decode: Callable[[bytes], Any], most_bytes: int) -> None:
    with pytest.raises(DecodeError, match=f"at most {most_bytes} are taken"):
        decode(bytes(most_bytes + 1))


@pytest.mark.parametrize(
    "value",
    [
        {"node": NODE, "keys": [bytes(16)]},
        {"swarmboot": 2, "node": NODE, "keys": [bytes(16)]},
        {"swarmboot": 1, "node": NODE, "keys": [bytes(15)]},
        {"swarmboot": 1, "node": NODE, "keys": [bytes(16)] * 33},
        {"swarmboot": 1, "node": NODE, "keys": []},
        {"swarmboot": 1, "node": NODE, "sequence": 0, "port": 1, "http_port": 1},
        {"swarmboot": 1, "node": NODE, "sequence": 1, "port": 0, "http_port": 1},
        {"swarmboot": 1, "node": NODE, "sequence": 1, "port": 1, "http_port": 1, "nonce": bytes(15)},
        {"swarmboot": 1, "node": NODE, "keys": [bytes(16)], "nonce": ""},
    ],
)
def test_a_datagram_of_another_program_or_without_meaning_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode_datagram(pack(value))


def test_the_largest_probe_fits_into_a_datagram() -> None:
    probe = Probe(NODE, tuple(bytes([number] * 16) for number in range(32)), bytes(16))
    assert decode_datagram(encode_probe(probe)) == probe


def test_a_zero_with_a_sign_is_no_number() -> None:
    """It equals zero, and would give a handout a second encoding."""
    with pytest.raises(DecodeError, match="announce_after"):
        wire.decode_handout(altered_handout(announce_after=-0.0))
