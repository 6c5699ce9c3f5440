"""Which machine a report is about: told by the kernel, the network, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leecher.boot.reports.reporting import word_of_a_booted_system
from leecher.machine import this_boot
from leecher.machine.this_boot import host_name, mac_address, read_machine
from swarmboot.wire.report import BOOTED, VERIFIED, BootReport, decode_report, encode_report


@pytest.mark.parametrize(
    ("kernels", "networks", "expected"),
    [
        ("node7", "other", "node7"),
        ("(none)", "node7.rack.example\n", "node7.rack.example"),
        ("localhost", "node7", "node7"),
        ("(none)", "", ""),
        ("(none)", "(none)", ""),
        ("n\u00f6de 7", "", "n_de_7"),
        ("x" * 80, "", "x" * 64),
    ],
)
def test_a_host_has_the_kernels_name_or_the_networks(
    tmp_path: Path, kernels: str, networks: str, expected: str
) -> None:
    (tmp_path / "hostname").write_text(networks)
    assert host_name(kernels, tmp_path / "hostname") == expected


def test_a_host_without_any_name_has_none(tmp_path: Path) -> None:
    assert host_name("(none)", tmp_path / "nothing") == ""


def cards(folder: Path, **macs: str) -> Path:
    for card, mac in macs.items():
        (folder / card).mkdir()
        (folder / card / "address").write_text(f"{mac}\n")
    return folder


def test_the_card_with_the_address_is_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cards(tmp_path, lo="00:00:00:00:00:00", eth0="52:54:00:00:00:01", eth1="52:54:00:00:00:02")
    held = {"eth0": {"10.0.0.1"}, "eth1": {"10.0.0.2", "fd00::2"}}
    monkeypatch.setattr(this_boot, "_addresses", lambda card: held.get(card, set()))
    assert mac_address("10.0.0.2", folder) == "52:54:00:00:00:02"
    assert mac_address("fd00::2", folder) == "52:54:00:00:00:02"
    assert mac_address("10.0.0.9", folder) == ""
    assert mac_address("", folder) == ""


def test_where_only_one_card_has_a_mac_it_is_that(tmp_path: Path) -> None:
    folder = cards(tmp_path, lo="00:00:00:00:00:00", ib0=":".join(["0a"] * 20), dummy="")
    assert mac_address("127.0.0.5", folder) == ":".join(["0a"] * 20)


def test_this_machine_is_one_that_a_report_takes() -> None:
    found = read_machine("")
    report = BootReport("a", VERIFIED, boot=found.boot, mac=found.mac, name=found.name, uptime_s=found.uptime_s)
    assert decode_report(encode_report(report)) == report
    assert found.boot
    assert found.uptime_s > 0


def test_a_booted_system_repeats_its_initramfs_and_adds_its_own_time() -> None:
    verified = BootReport("a", VERIFIED, sequence=7, phases={"images": 3.0}, bytes_from={"origin": 5}, uptime_s=0.001)
    word = word_of_a_booted_system(verified.as_json())
    assert (word.outcome, word.sequence, word.bytes_from, word.phases["images"]) == (BOOTED, 7, {"origin": 5}, 3.0)
    assert word.phases["services"] > 0


@pytest.mark.parametrize("left", ["", "{", "[]", "7", json.dumps({"node": "a"}), "[" * 5000])
def test_a_booted_system_without_a_report_of_its_initramfs_says_it_has_booted(left: str) -> None:
    assert word_of_a_booted_system(left) == BootReport("", BOOTED)
