"""A channel that goes back under a running seeder: the old release is the newest for nodes that take nothing older."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.loopback import asking, booting, build_fleet, build_release, program, serving
from tests.support.waiting import wait_until


def test_a_node_that_takes_nothing_older_boots_what_the_channel_went_back_to(tmp_path: Path) -> None:
    one, two = (
        build_release(tmp_path / name, size_bytes=300_000, seed=seed) for name, seed in (("one", 1), ("two", 2))
    )
    fleet = build_fleet(tmp_path / "fleet", one)
    fleet.publish(two)
    with serving(fleet) as seeder:
        with booting(tmp_path, 1, *asking(seeder, fleet), "--floor", "2", "--linger", "on") as node:
            assert (node.report()["sequence"], node.digests()) == (2, fleet.digests(two))
            asked = ("releases", fleet.site, "--server", seeder.address, "--ca", seeder.ca, "--json")

            def is_counted() -> bool:
                listed = json.loads(program("swarmboot", *asked).stdout)["releases"]
                return [(each["sequence"], each["nodes"]) for each in listed] == [(2, 1), (1, 0)]

            wait_until("the node among its release's", is_counted, process=seeder.process)
        done = program("swarmboot", "rollback", fleet.site, "--key", fleet.key)
        assert done.returncode == 0, done.stderr
        with booting(tmp_path, 2, *asking(seeder, fleet), "--floor", "2") as node:
            status, said = node.end()
            assert status == 0, said
            assert (node.report()["sequence"], node.digests()) == (3, fleet.digests(one))
