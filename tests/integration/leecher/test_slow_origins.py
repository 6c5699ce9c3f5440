"""Origins and servers that send a little at a time beside others that do not: a boot does without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.loopback import Fleet, asking, booting, build_fleet, build_release, hostile, serving


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("fleet")
    return build_fleet(folder, build_release(folder / "release", size_bytes=6_000_000))


def test_a_mirror_that_drips_beside_a_good_seeder_is_left(tmp_path: Path, fleet: Fleet) -> None:
    with hostile(fleet, "drips") as mirror, serving(fleet, "--origin", mirror.address) as seeder:
        with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
            status, said = node.end()
        assert status == 0, said
        assert f"{mirror.address} sends too little" in said
        assert node.digests() == fleet.digests(fleet.folder / "release")


def test_a_server_that_drips_beside_a_warm_neighbour_is_done_without(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--linger") as warm:
        warm.report()
        with hostile(fleet, "drips") as origin:
            arguments = [*asking(seeder, fleet), "--server", origin.address, "--neighbours", "127.0.0.2:8471"]
            with booting(tmp_path, 2, *arguments) as node:
                status, said = node.end()
                assert status == 0, said
                assert node.digests() == fleet.digests(fleet.folder / "release")
