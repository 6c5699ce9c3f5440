"""The shapes of the API."""

from __future__ import annotations

import json

from seeder.record.policy import shapes
from seeder.record.policy.causes import Site
from seeder.record.policy.ledger import Ledger
from seeder.record.policy.view import Release, Traffic, View, build_view, row_of
from swarmboot.wire.report import FAILED
from tests.support.record import HOST, MAC, build_heard, build_report


def build_fleet_view() -> View:
    ledger = Ledger()
    ledger.announced(build_heard(rack="r1"), now_s=100.0)
    ledger.reported(
        build_report("bb" * 16, FAILED, mac="", boot="", error="no room", exit_status=61), host="10.0.0.2", now_s=101.0
    )
    ledger.missed("10.0.0.3", "edgy", now_s=102.0)
    ledger.asked(MAC, host="10.0.0.4", rack="r1", now_s=103.0)
    return build_view(
        ledger.boots.values(),
        ledger.pace.limits_s(),
        now_s=110.0,
        releases=(Release("debian", 7, ("stable",), 9),),
        ends=(("manifest 7", 1e9),),
        traffic=Traffic(1e6, 125e6, 1.05, 5),
    )


def test_the_fleet_in_one_look_counts_each_node_once() -> None:
    fleet = shapes.fleet(build_fleet_view())
    nodes = fleet["nodes"]
    assert nodes["total"] == 4
    assert (nodes["failed"], nodes["stuck"], nodes["booting"], nodes["up"], nodes["gone"]) == (1, 1, 2, 0, 0)
    assert (nodes["images"], nodes["queue"], nodes["manifest"]) == (1, 1, 1)
    assert fleet["failed"][0]["kind"] == "no room for the images"
    assert fleet["stuck"][0]["cause"] == "asked for channel edgy; this site has stable"
    assert fleet["releases"] == [{"name": "debian", "sequence": 7, "channels": ["stable"], "nodes": 1, "size_bytes": 9}]
    assert fleet["ends"] == [{"what": "manifest 7", "unix_s": 1e9}]
    assert {"time", "copies_sent", "uplink_bytes_per_s", "uplink_limit_bytes_per_s", "slowest"} <= fleet.keys()
    json.dumps(fleet)


def test_failed_and_stuck_come_first_and_can_be_asked_for_alone() -> None:
    view = build_fleet_view()
    assert [node["state"] for node in shapes.nodes(view)["nodes"]] == ["failed", "stuck", "booting", "booting"]
    assert [node["address"] for node in shapes.nodes(view, state="failed")["nodes"]] == ["10.0.0.2"]
    assert {node["rack"] for node in shapes.nodes(view, rack="r1")["nodes"]} == {"r1"}
    wanted = {
        "id",
        "boot",
        "mac",
        "name",
        "address",
        "rack",
        "release",
        "channel",
        "phase",
        "state",
        "since_s",
        "percent",
    }
    assert wanted | {"bytes_from", "cause"} <= shapes.nodes(view)["nodes"][0].keys()


def test_a_story_has_its_phases_in_order_and_its_machines_earlier_boots() -> None:
    ledger = Ledger()
    ledger.asked(MAC, host=HOST, rack="", now_s=90.0)
    ledger.granted(MAC, host=HOST, now_s=95.0)
    boot = ledger.announced(build_heard(), now_s=100.0)
    row = row_of(boot, ledger.pace.limits_s(), Site({}), now_s=110.0)
    story = shapes.story(row, now_s=110.0, earlier=[boot])
    assert [phase["name"] for phase in story["phases"]] == ["queue", "stage0", "images"]
    assert story["phases"][-1]["end_unix_s"] is None
    assert story["earlier"][0]["id"] == boot.id
    assert {"cause", "advice", "faults", "addresses", "ram_bytes"} <= story.keys()
    json.dumps(story)
