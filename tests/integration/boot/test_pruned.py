"""Releases that go away while nodes boot them: pruned, replaced, restored from a backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.loopback import (
    Fleet,
    asking,
    booting,
    build_fleet,
    build_release,
    program,
    serving,
)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return build_fleet(tmp_path, build_release(tmp_path / "first", size_bytes=6_000_000, seed=1))


def prune(fleet: Fleet, *arguments: str) -> str:
    done = program("swarmboot", "prune", fleet.site, "--keep", "1", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def next_release(fleet: Fleet) -> Path:
    """Return a release with another root image and the same plugin."""
    release = build_release(fleet.folder / "release", size_bytes=300_000, seed=2)
    plugin = "plugins/00-plugin.squashfs"
    (release / plugin).write_bytes((fleet.folder / "first" / plugin).read_bytes())
    return release


def test_a_node_whose_release_is_pruned_in_mid_boot_starts_over_with_the_new_one(tmp_path: Path, fleet: Fleet) -> None:
    release = next_release(fleet)
    with serving(fleet, "--uplink", "1mbit") as seeder, booting(tmp_path, 1, *asking(seeder, fleet)) as node:
        node.wait_until_arriving()
        fleet.publish(release)
        prune(fleet, "--grace", "0")
        status, said = node.end()
        assert status == 0, said
        assert "starting over" in said
        assert node.report()["sequence"] == 2
        assert node.digests() == fleet.digests(release)


def test_a_node_whose_release_is_pruned_in_mid_boot_within_the_grace_goes_on(tmp_path: Path, fleet: Fleet) -> None:
    release = next_release(fleet)
    with serving(fleet, "--uplink", "16mbit") as seeder, booting(tmp_path, 1, *asking(seeder, fleet)) as node:
        node.wait_until_arriving()
        fleet.publish(release)
        assert "--grace" in prune(fleet)
        status, said = node.end()
        assert status == 0, said
        assert node.report()["sequence"] == 1


def test_a_channel_that_vanishes_and_comes_back_in_mid_boot_is_waited_for(tmp_path: Path, fleet: Fleet) -> None:
    release = next_release(fleet)
    with serving(fleet, "--uplink", "1mbit") as seeder, booting(tmp_path, 1, *asking(seeder, fleet)) as node:
        node.wait_until_arriving()
        for blob in (fleet.site / "blobs").iterdir():
            blob.unlink()
        channel = fleet.site / "channels" / "stable.swarm"
        channel.rename(fleet.folder / "away")
        assert node.process.stderr is not None
        while "no newer release is there yet" not in (line := node.process.stderr.readline()):
            assert line, "the node has ended"
        (fleet.folder / "away").rename(channel)
        fleet.publish(release)
        assert node.end()[0] == 0
        assert node.digests() == fleet.digests(release)
