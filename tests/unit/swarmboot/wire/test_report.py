"""The boot report: the same record from a node and from the simulator."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.codec import DecodeError, pack, unpack
from swarmboot.ids import MAX_SEQUENCE, NodeKey
from swarmboot.wire.report import (
    BANS_MAX,
    BOOTED,
    FAILED,
    PHASES,
    REPORT_MAX_BYTES,
    VERIFIED,
    BootReport,
    decode_report,
    encode_report,
)

OF_THE_BUILD_BEFORE = {
    *("node", "outcome", "sequence", "profile", "rack", "error", "exit_status", "phases", "bytes_from", "rescues"),
    *("hash_failures", "stage0", "finished_unix_s", "boot", "mac", "name", "uptime_s", "key"),
}
reports = st.builds(
    BootReport,
    node=st.text(max_size=64),
    outcome=st.sampled_from([BOOTED, FAILED, VERIFIED]),
    sequence=st.integers(0, MAX_SEQUENCE),
    profile=st.text(max_size=20),
    rack=st.text(max_size=20),
    error=st.text(max_size=200),
    exit_status=st.integers(0, 255),
    phases=st.dictionaries(st.sampled_from(PHASES), st.floats(0, 1e6)),
    bytes_from=st.dictionaries(st.sampled_from(["neighbours", "origin"]), st.integers(0, 2**50)),
    hash_failures=st.integers(0, 1000),
    rescues=st.integers(0, 1000),
    finished_unix_s=st.floats(0, 1e10),
    boot=st.uuids().map(str) | st.just(""),
    mac=st.binary(min_size=6, max_size=20).map(lambda raw: raw.hex(":")) | st.just(""),
    name=st.from_regex(r"[A-Za-z0-9._-]{0,64}", fullmatch=True),
    uptime_s=st.floats(0, 1e9),
    channel=st.from_regex(r"[a-z0-9._-]{0,64}", fullmatch=True),
    kernel=st.from_regex(r"[A-Za-z0-9._+~-]{0,64}", fullmatch=True),
    ram_bytes=st.integers(0, 2**50),
    bans=st.lists(st.ip_addresses().map(str), max_size=BANS_MAX).map(tuple),
    hands_off=st.booleans(),
    key=st.sampled_from([b"", bytes(range(16))]).map(NodeKey),
)


@given(reports)
def test_a_report_comes_back(report: BootReport) -> None:
    assert decode_report(encode_report(report)) == report


@given(reports)
def test_a_report_is_one_line_of_json(report: BootReport) -> None:
    line = report.as_json()
    assert "\n" not in line
    assert json.loads(line)["node"] == report.node


def test_a_nodes_key_is_in_no_report_that_is_written_down() -> None:
    report = BootReport("a", BOOTED, key=NodeKey(b"secret" + bytes(10)))
    assert "key" not in json.loads(report.as_json())
    assert "secret" not in report.as_json() + repr(report)


@given(st.binary(max_size=200))
def test_random_bytes_are_no_report(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_report(data)


@pytest.mark.parametrize(
    "value",
    [
        {"node": "a"},
        {"node": "a" * 65, "outcome": BOOTED},
        {"node": "a", "outcome": BOOTED, "phases": {"dhcp": -1}},
        {"node": "a", "outcome": BOOTED, "phases": {"dhcp": "long"}},
        {"node": "a", "outcome": BOOTED, "phases": []},
        {"node": "a", "outcome": BOOTED, "bytes_from": {"origin": 1.5}},
        {"node": "a", "outcome": BOOTED, "exit_status": 256},
        {"node": "a", "outcome": BOOTED, "name": "n1) booted; node b"},
        {"node": "a", "outcome": BOOTED, "name": "n1\n"},
        {"node": "a", "outcome": BOOTED, "name": "x" * 65},
        {"node": "a", "outcome": BOOTED, "mac": "52:54:00:00:00"},
        {"node": "a", "outcome": BOOTED, "mac": "52:54:00:00:00:0G"},
        {"node": "a", "outcome": BOOTED, "boot": "1a2b3c4d"},
        {"node": "a", "outcome": BOOTED, "uptime_s": -1.0},
        {"node": "a", "outcome": BOOTED, "kernel": "6.1\x1b[31m"},
        {"node": "a", "outcome": BOOTED, "channel": "two words"},
        {"node": "a", "outcome": BOOTED, "bans": ["10.0.0.1"] * (BANS_MAX + 1)},
        {"node": "a", "outcome": BOOTED, "ram_bytes": -1},
    ],
)
def test_a_report_with_an_impossible_field_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        decode_report(pack(value))


def test_phases_that_nobody_knows_are_left_out() -> None:
    found = decode_report(pack({"node": "a", "outcome": BOOTED, "phases": {"dhcp": 1.5, "coffee": 300.0}}))
    assert found.phases == {"dhcp": 1.5}


def test_a_very_long_error_is_cut_rather_than_losing_the_report() -> None:
    assert decode_report(encode_report(BootReport("a", FAILED, error="x" * 5000))).error == "x" * 1024


def test_a_report_above_its_bound_is_refused_unread() -> None:
    with pytest.raises(DecodeError, match="at most"):
        decode_report(bytes(REPORT_MAX_BYTES + 1))


def test_a_report_of_a_build_before_is_read() -> None:
    found = decode_report(pack({"node": "a", "outcome": BOOTED, "sequence": 3}))
    assert (found.outcome, found.sequence, found.boot, found.mac, found.name, found.uptime_s) == (
        BOOTED, 3, "", "", "", 0.0,
    )  # fmt: skip
    assert (found.channel, found.kernel, found.ram_bytes, found.bans, found.hands_off) == ("", "", 0, (), False)


def test_a_build_before_finds_all_its_fields_as_they_were() -> None:
    new = BootReport("a", VERIFIED, 3, channel="edge", kernel="6.1", ram_bytes=1, bans=("10.0.0.1",), hands_off=True)
    told = unpack(encode_report(new), max_bytes=REPORT_MAX_BYTES)
    assert isinstance(told, dict)
    assert "crit" not in told
    old = {name: value for name, value in told.items() if name in OF_THE_BUILD_BEFORE}
    assert old.keys() == OF_THE_BUILD_BEFORE
    assert decode_report(pack(old)) == BootReport("a", VERIFIED, 3)


def test_an_outcome_fits_what_builds_before_read() -> None:
    assert all(len(outcome) <= 16 for outcome in (BOOTED, FAILED, VERIFIED))
