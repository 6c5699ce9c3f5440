"""A table that is imported: what it changes, a second time nothing, and what else is written of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.publish.nodes.hosts import Hosts
from seeder.publish.nodes.table import (
    MADE,
    change,
    check_apart,
    check_ours,
    dhcp_notes,
    dhcp_text,
    old_hosts,
    rack_map_text,
    read_table,
    write_beside,
    write_table,
)
from seeder.stage0.rack_map import Place, parse_rack_map
from swarmboot.errors import MalformedSettingError, ReleaseError
from swarmboot.release.node_overlay import Host

A, B, C = "52:54:00:00:00:0a", "52:54:00:00:00:0b", "52:54:00:00:00:0c"
OLD = {A: Host("a", "r1"), B: Host("b", address="10.0.0.2")}


def test_a_row_goes_over_that_of_the_same_machine_and_others_stay() -> None:
    found = change(OLD, Hosts({B: Host("b", "r2"), C: Host("c")}), is_replaced=False)
    assert (found.new, found.changed, found.gone, found.faults) == ((C,), (B,), (), ())
    assert found.hosts == {A: OLD[A], B: Host("b", "r2"), C: Host("c")}
    assert not change(found.hosts, Hosts({B: Host("b", "r2"), C: Host("c")}), is_replaced=False).is_one


def test_hosts_that_are_not_in_a_table_go_only_if_it_replaces_them() -> None:
    found = change(OLD, Hosts({B: OLD[B]}), is_replaced=True)
    assert (found.new, found.changed, found.gone) == ((), (), (A,))
    assert change(OLD, Hosts({B: OLD[B]}), is_replaced=False).gone == ()


def test_a_name_or_an_address_of_a_machine_that_stays_is_not_anothers() -> None:
    found = change(OLD, Hosts({C: Host("a", address="10.0.0.2")}), is_replaced=False)
    assert found.faults == (
        f"name a of {C} is {A}'s in the release: import a row for that too, or --replace",
        f"address 10.0.0.2 of {C} is {B}'s in the release: import a row for that too, or --replace",
    )
    assert change(OLD, Hosts({C: Host("a"), A: Host("d")}), is_replaced=False).faults == ()


def test_a_release_keeps_its_table_and_reads_it_again(tmp_path: Path) -> None:
    assert old_hosts(tmp_path) == {}
    path = write_table(tmp_path, OLD)
    assert old_hosts(tmp_path) == OLD
    assert read_table(path, profiles=frozenset()).hosts == OLD
    path.write_text("mac\nx\n")
    with pytest.raises(ReleaseError, match=r"hosts\.csv:2: mac 'x' is none"):
        old_hosts(tmp_path)


def test_serve_reads_the_rack_map_that_is_written(tmp_path: Path) -> None:
    found = parse_rack_map(rack_map_text({**OLD, C: Host("c", "r2", "gpu")}), where="map")
    assert [found.place(mac, "10.0.0.9") for mac in (A, B, C)] == [Place("r1"), Place(), Place("r2", "gpu")]


def test_dnsmasq_is_told_names_and_addresses() -> None:
    hosts = {**OLD, C: Host(address="fd00::1"), "52:54:00:00:00:0d": Host(rack="r1")}
    assert dhcp_text(hosts) == (
        f"{MADE}\ndhcp-host={A},a\ndhcp-host={B},10.0.0.2,b\ndhcp-host={C},[fd00::1]\n"
    )  # fmt: skip


def test_a_file_that_somebody_else_has_written_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "racks"
    check_ours(path)
    write_beside(path, rack_map_text(OLD))
    check_ours(path)
    path.write_text("52:54:* r1\n")
    with pytest.raises(ReleaseError, match="was not made by `nodes import`, and is kept"):
        check_ours(path)


@pytest.mark.parametrize("name", ["ignore", "infinite", "60", "1d", "12h", "5m", "30s", "2w", "10.0.0.9"])
def test_a_name_that_dnsmasq_takes_for_something_else_is_left_out_and_said(name: str) -> None:
    hosts = {A: Host(name, address="10.0.0.2"), B: Host(name), C: Host("c")}
    assert dhcp_text(hosts).splitlines()[1:] == [f"dhcp-host={A},10.0.0.2", f"dhcp-host={C},c"]
    assert [note.partition(" is left out")[0] for note in dhcp_notes(hosts)] == [
        f"name {name} of {A}",
        f"name {name} of {B}",
    ]


def test_names_that_only_look_like_dnsmasqs_words_stay() -> None:
    hosts = {A: Host("d"), B: Host("1d-2"), C: Host("ignored")}
    assert [line.rpartition(",")[2] for line in dhcp_text(hosts).splitlines()[1:]] == ["d", "1d-2", "ignored"]
    assert dhcp_notes(hosts) == []


def test_a_file_is_written_for_one_thing_only(tmp_path: Path) -> None:
    table, one, two = tmp_path / "nodes/hosts.csv", tmp_path / "racks", tmp_path / "dhcp"
    two.symlink_to(one)
    for others in ((one, one), (one, two), (table,), (tmp_path / "nodes/../nodes/hosts.csv",)):
        with pytest.raises(MalformedSettingError, match="is named for two things"):
            check_apart(tmp_path, *others)
    check_apart(tmp_path, one, tmp_path / "other")
