"""Servers, origins and neighbours that fail, for a while or for good: the boot goes on, or names who it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarmboot.errors import (
    ArtifactError,
    OriginError,
    ProtocolError,
    SwarmbootError,
    UnreachableError,
)
from tests.support.loopback import (
    Fleet,
    asking,
    booting,
    hostile,
    serving,
)
from tests.support.refusals import refused


def test_a_server_that_is_down_is_named_and_retried(tmp_path: Path, fleet: Fleet) -> None:
    arguments: list[str | Path] = ["--server", "https://127.0.0.1:9", "--trust", fleet.pub, "--timeout", "3s"]
    refused(tmp_path, UnreachableError, *arguments, words=("https://127.0.0.1:9", "cannot be reached"))


def test_a_server_whose_certificate_is_not_ours_is_refused(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        arguments: list[str | Path] = ["--server", seeder.address, "--trust", fleet.pub, "--timeout", "3s"]
        refused(tmp_path, UnreachableError, *arguments, words=("certificate", "--ca"))


def test_a_server_that_comes_back_is_used(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        port, ca = seeder.address.rpartition(":")[2], seeder.ca
    arguments: list[str | Path] = [
        "--server",
        f"https://127.0.0.1:{port}",
        "--ca",
        ca,
        "--trust",
        fleet.pub,
        "--timeout",
        "60s",
    ]
    with booting(tmp_path, 1, *arguments) as node:
        assert node.process.stderr is not None
        assert "cannot be reached" in node.process.stderr.readline()
        with serving(fleet, "--listen", f"127.0.0.1:{port}"):
            assert node.end()[0] == 0


@pytest.mark.parametrize("fault", ["404", "416", "500", "resets", "too short", "another range", "ignores range"])
def test_an_origin_that_misbehaves_for_a_while_is_survived(tmp_path: Path, fleet: Fleet, fault: str) -> None:
    with hostile(fleet, fault, times=3) as origin, booting(tmp_path, 1, *asking(origin, fleet)) as node:
        status, said = node.end()
        assert status == 0, said
        assert "; trying again" in said


@pytest.mark.parametrize(
    ("fault", "error"), [("404", OriginError), ("too short", ProtocolError), ("ignores range", OriginError)]
)
def test_an_origin_that_always_misbehaves_is_named_at_the_end(
    tmp_path: Path, fleet: Fleet, fault: str, error: type[SwarmbootError]
) -> None:
    with hostile(fleet, fault) as origin:
        refused(tmp_path, error, *asking(origin, fleet), "--timeout", "5s", words=(origin.address,))


def test_an_origin_that_sends_other_bytes_ends_the_boot(tmp_path: Path, fleet: Fleet) -> None:
    with hostile(fleet, "altered") as origin:
        refused(tmp_path, ArtifactError, *asking(origin, fleet), words=("other bytes",))


def test_a_silent_origin_is_left(tmp_path: Path, fleet: Fleet) -> None:
    with hostile(fleet, "silent", times=2) as origin, booting(tmp_path, 1, *asking(origin, fleet)) as node:
        status, said = node.end()
        assert status == 0, said
        assert "sends too little; fetching elsewhere" in said


def test_a_neighbour_that_sends_corrupt_blocks_is_banned_and_the_boot_goes_on(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--linger") as bad:
        bad.report()
        with (bad.into / "rootfs.squashfs").open("r+b") as image:
            image.write(os.urandom(3_000_000))
        with booting(tmp_path, 2, *asking(seeder, fleet)) as node:
            status, said = node.end()
            assert status == 0, said
            assert "sent corrupt blocks" in said
            assert node.report()["hash_failures"] > 0
            assert node.report()["bytes_from"]["origin"] > 0


def test_a_neighbour_that_dies_in_mid_transfer_is_survived(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--linger", "--up", "8mbit") as bad:
        bad.report()
        with booting(tmp_path, 2, *asking(seeder, fleet)) as node:
            node.wait_until_arriving()
            bad.process.kill()
            assert node.end()[0] == 0


def test_a_seeder_that_dies_in_mid_boot_leaves_a_warm_rack_enough(tmp_path: Path, fleet: Fleet) -> None:
    with (
        serving(fleet) as seeder,
        booting(tmp_path, 1, *asking(seeder, fleet), "--linger", "--up", "16mbit") as warm,
    ):
        warm.report()
        with booting(tmp_path, 2, *asking(seeder, fleet)) as node:
            node.wait_until_arriving()
            seeder.process.kill()
            assert node.end()[0] == 0
