"""What is read of a server's own folders: how large its fleet is, what it has published, with which keys."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seeder.doctor import machine
from seeder.record.policy.ledger import Ledger
from seeder.record.store import Store
from tests.support.record import build_report

NETWORK = ipaddress.IPv4Network("10.0.0.0/16")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state folder whose history has thirty nodes that are up, ten of them elsewhere."""
    ledger, store = Ledger(), Store(tmp_path)
    for number in range(30):
        host = f"10.0.1.{number}" if number < 20 else f"10.9.0.{number}"
        report = build_report(f"{number:032x}", "booted", mac=f"52:54:00:00:00:{number:02x}", boot=f"{number:032x}")
        ledger.reported(report, host=host, now_s=1000.0)
    store.write(ledger.boots, frozenset(ledger.boots))
    store.close()
    return tmp_path


def test_a_fleet_is_as_large_as_the_history_knows_it(state: Path, tmp_path: Path) -> None:
    assert machine.nodes_known(state) == 30
    assert machine.nodes_known(tmp_path / "none") == 0


def test_nodes_that_are_up_on_a_network_are_those_that_were_heard_of_late(state: Path) -> None:
    assert machine.nodes_up(state, NETWORK, now_s=1010.0) == 20
    assert machine.nodes_up(state, NETWORK, now_s=1000.0 + 3600) == 0


def test_a_site_says_when_it_was_last_published(tmp_path: Path) -> None:
    assert machine.published_at(tmp_path) is None
    (tmp_path / "manifests").mkdir()
    for name, at_s in (("1.swarm", 1000), ("2.swarm", 2000)):
        (tmp_path / "manifests" / name).touch()
        os.utime(tmp_path / "manifests" / name, (at_s, at_s))
    assert machine.published_at(tmp_path) == datetime.fromtimestamp(2000, UTC)


def test_a_site_that_is_none_names_no_keys(tmp_path: Path) -> None:
    assert machine.site_keys(tmp_path) == ()
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/1.swarm").write_bytes(b"no envelope")
    assert machine.site_keys(tmp_path) == ()


def test_a_state_folder_is_there_or_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert machine.is_state(tmp_path / "new/folder") == (True, True)
    assert machine.is_state(tmp_path / "file")[0] is False
