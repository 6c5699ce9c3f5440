"""Real seeder, real leechers, real TLS and BitTorrent on loopback: publish, serve, boot, help the next."""

from __future__ import annotations

import signal
import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from swarmboot.wire.report import VERIFIED
from tests.support.loopback import (
    Fleet,
    asking,
    booting,
    build_fleet,
    build_release,
    program,
    serving,
    status,
)
from tests.support.nginx import nginx


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_release(tmp_path_factory.mktemp("fleet") / "release", plugins=2)


def test_a_rack_boots_and_the_server_sends_about_one_copy(tmp_path: Path, fleet: Fleet, release: Path) -> None:
    with serving(fleet, "--uplink", "100mbit") as seeder, ExitStack() as stack:
        nodes = [
            stack.enter_context(booting(tmp_path, number, *asking(seeder, fleet), "--linger")) for number in range(1, 5)
        ]
        reports = [node.report() for node in nodes]
        assert all(report["outcome"] == VERIFIED for report in reports)
        assert all(node.digests() == fleet.digests(release) for node in nodes)
        size = sum(file.stat().st_size for file in [release / "rootfs.squashfs", *(release / "plugins").iterdir()])
        assert sum(report["bytes_from"]["origin"] for report in reports) < 1.3 * size
        assert seeder.stop() == 0
        assert sum("images verified in" in line for line in seeder.lines) == 4


def test_a_latecomer_takes_its_images_from_neighbours(tmp_path: Path, fleet: Fleet, release: Path) -> None:
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--linger") as warm:
        warm.report()
        with booting(tmp_path, 2, *asking(seeder, fleet)) as late:
            assert late.end()[0] == 0
            assert late.digests() == fleet.digests(release)
            assert late.report()["bytes_from"]["origin"] == 0


def test_a_client_that_reads_no_more_does_not_hold_up_the_seeders_end(tmp_path: Path) -> None:
    release = build_release(tmp_path / "release", size_bytes=40_000_000)
    fleet = build_fleet(tmp_path, release)
    blob = max((fleet.site / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    with serving(fleet, "--uplink", "10gbit") as seeder:
        host, _, port = seeder.address.removeprefix("https://").rpartition(":")
        context = ssl.create_default_context(cafile=str(seeder.ca))
        with (
            socket.create_connection((host, int(port))) as plain,
            context.wrap_socket(plain, server_hostname=host) as client,
        ):
            client.sendall(f"GET /blobs/{blob.name} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            assert client.recv(1000)
            time.sleep(0.5)
            assert seeder.stop() == 0


@pytest.mark.parametrize("is_multicast", [True, False])
def test_without_a_server_a_neighbour_is_found_and_enough(
    tmp_path: Path, fleet: Fleet, release: Path, is_multicast: bool
) -> None:
    how = [] if is_multicast else ["--discovery", "off", "--neighbours", "127.0.0.2:8471"]
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--linger") as warm:
        warm.report()
        assert seeder.stop() == 0
        with booting(tmp_path, 2, "--trust", fleet.pub, "--timeout", "60s", *how) as node:
            assert node.end()[0] == 0
            assert node.digests() == fleet.digests(release)


def test_without_a_server_two_nodes_help_each_other_after_the_first(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--linger") as warm:
        warm.report()
        seeder.stop()
        with (
            booting(tmp_path, 2, "--trust", fleet.pub, "--timeout", "60s", "--linger") as second,
            booting(tmp_path, 3, *asking(seeder, fleet)) as third,
        ):
            assert second.report()["outcome"] == VERIFIED
            assert third.end()[0] == 0


def test_a_second_fetch_into_the_same_directory_takes_nothing(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        for _ in range(2):
            with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
                assert node.end()[0] == 0
                report = node.report()
        assert report["bytes_from"] == {"neighbours": 0, "origin": 0}


def test_an_interrupted_fetch_is_resumed_and_leaves_nothing_that_looks_whole(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet, "--uplink", "8mbit") as slow, booting(tmp_path, 1, *asking(slow, fleet)) as node:
        partial = node.into / ".partial"
        while not (partial.is_dir() and any(file.stat().st_blocks * 512 > 500_000 for file in partial.iterdir())):
            assert node.process.poll() is None
        node.process.send_signal(signal.SIGINT)
        assert node.end()[0] == 130
        assert not (node.into / "rootfs.squashfs").exists()
    with serving(fleet) as fast, booting(tmp_path, 1, *asking(fast, fleet)) as again:
        assert again.end()[0] == 0
        assert again.report()["bytes_from"]["origin"] < 2_900_000


def test_two_releases_boot_side_by_side(tmp_path: Path) -> None:
    first, second = build_release(tmp_path / "one", seed=1), build_release(tmp_path / "two", seed=2)
    fleet = build_fleet(tmp_path / "fleet", first)
    with serving(fleet, "--uplink", "20mbit") as seeder, booting(tmp_path, 1, *asking(seeder, fleet)) as early:
        early.wait_until_arriving()
        fleet.publish(second)
        with booting(tmp_path, 2, *asking(seeder, fleet)) as late:
            assert early.end()[0] == 0
            assert late.end()[0] == 0
            assert early.digests() == fleet.digests(first)
            assert late.digests() == fleet.digests(second)


def test_a_mirror_takes_its_share_of_the_leases(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as mirror, serving(fleet, "--origin", mirror.address) as seeder:
        with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
            assert node.end()[0] == 0
        sent = [status(each)["sent_bytes"] for each in (mirror, seeder)]
        assert min(sent) > 0.3 * sum(sent)


@pytest.mark.needs("nginx")
def test_plain_nginx_is_mirror_enough(tmp_path: Path, fleet: Fleet) -> None:
    with nginx(tmp_path, fleet.site) as mirror, serving(fleet, "--origin", mirror) as seeder:
        with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
            assert node.end()[0] == 0
        asked = (tmp_path / "access.log").read_text().splitlines()
        assert asked
        assert all(" 206 " in line for line in asked)


def test_fetch_is_the_leecher_for_people(tmp_path: Path, fleet: Fleet, release: Path) -> None:
    with serving(fleet) as seeder:
        done = program(
            "swarmboot", "fetch", *asking(seeder, fleet), "--into", tmp_path / "images", "--bind", "127.0.0.9"
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "images" / "rootfs.squashfs").read_bytes() == (release / "rootfs.squashfs").read_bytes()


def test_settings_come_from_a_kernel_command_line_and_the_environment(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        cmdline = f"quiet swarmboot.server={seeder.address} swarmboot.ca={seeder.ca} swarmboot.timeout=60s"
        done = program(
            "leecher",
            *("--cmdline", cmdline, "--into", tmp_path / "images"),
            SWARMBOOT_TRUST=str(fleet.pub),
            SWARMBOOT_BIND="127.0.0.9",
        )
        assert done.returncode == 0, done.stderr


def test_a_neighbour_leaves_cleanly_and_is_forgotten(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--linger") as node:
        node.report()
        node.process.send_signal(signal.SIGTERM)
        assert node.end()[0] == 0
        assert status(seeder)["nodes"] == 0
