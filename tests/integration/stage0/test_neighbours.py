"""Booted nodes serve stage 0: real seeder, real leechers, plain HTTP as firmware speaks it."""

from __future__ import annotations

import hashlib
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.loopback import (
    Fleet,
    Seeder,
    asking,
    booting,
    build_fleet,
    build_release,
    serving,
    status,
    wait_for_stage0_neighbour,
)
from tests.support.waiting import wait_until

MAC = "52-54-00-12-34-56"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage0") / "release"
    build_release(folder, size_bytes=300_000, stage0_bytes=800_000)
    (folder / "release.toml").write_text('name = "tiny"\ncmdline = "console=ttyS0"\n')
    return folder


@pytest.fixture
def lan(fleet: Fleet) -> Iterator[Seeder]:
    with serving(fleet, "--pxe-listen", "127.0.0.1:0", "--stage0-trust", "lan", "--stage0-slots", "1") as seeder:
        yield seeder


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        data: bytes = answer.read()
    return data


def header_names(url: str) -> list[str]:
    """Return the names of an answer's headers as they are written: GRUB 2.06 compares them byte for byte."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return [name for name, _ in answer.getheaders()]


def script(seeder: Seeder, mac: str = MAC) -> str:
    return get(f"{seeder.stage0_url()}/boot.ipxe?mac={mac}").decode()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def urls(text: str, sha256: str) -> list[str]:
    return re.findall(rf"(http://\S*/k/{sha256}\S*)", text)


def test_a_machine_is_told_what_to_load_and_the_seeder_serves_exactly_that(lan: Seeder, release: Path) -> None:
    text = script(lan)
    kernel = digest(release / "vmlinuz")
    assert text.startswith("#!ipxe\n")
    assert "console=ttyS0 BOOTIF=01-52-54-00-12-34-56" in text
    assert f"swarmboot.server=https://127.0.0.1:{lan.address.rpartition(':')[2]} " in text
    (url,) = urls(text, kernel)
    assert get(url) == (release / "vmlinuz").read_bytes()


def test_stage_0_serves_no_other_blob(lan: Seeder, release: Path) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{lan.stage0_url()}/k/{digest(release / 'rootfs.squashfs')}")


def test_a_machine_that_does_not_say_who_it_is_is_asked(lan: Seeder) -> None:
    assert "boot.ipxe?mac=${netX/mac:hexhyp}" in get(f"{lan.stage0_url()}/boot.ipxe").decode()


def test_a_booted_node_serves_stage_0_and_the_next_machine_is_sent_to_it(
    lan: Seeder, fleet: Fleet, release: Path, tmp_path: Path
) -> None:
    with booting(tmp_path, 1, *asking(lan, fleet), "--linger") as node:
        node.report()
        wait_for_stage0_neighbour(lan)
        text = script(lan)
        for name in ("vmlinuz", "initramfs.img"):
            first, last = urls(text, digest(release / name))
            assert first.startswith("http://127.0.0.2:")
            assert last.startswith(lan.stage0_url())
            assert get(first) == (release / name).read_bytes()
            for url in (first, last):
                assert "Content-Length" in header_names(url)


def test_a_node_goes_on_with_what_it_has_served_from_its_initramfs(
    lan: Seeder, fleet: Fleet, release: Path, tmp_path: Path
) -> None:
    with booting(tmp_path, 1, *asking(lan, fleet), "--linger") as node:
        node.into.mkdir(exist_ok=True)
        for name in ("vmlinuz", "initramfs.img"):
            shutil.copy(release / name, node.into / digest(release / name))
        node.report()
        wait_for_stage0_neighbour(lan)
        assert get(urls(script(lan), digest(release / "vmlinuz"))[0]) == (release / "vmlinuz").read_bytes()


def test_a_node_that_has_left_is_named_to_nobody(lan: Seeder, fleet: Fleet, release: Path, tmp_path: Path) -> None:
    with booting(tmp_path, 1, *asking(lan, fleet), "--linger") as node:
        node.report()
        wait_for_stage0_neighbour(lan)
    wait_until("no node that serves stage 0", lambda: status(lan)["stage0"]["neighbours"] == 0)
    assert len(urls(script(lan, "52-54-00-00-00-77"), digest(release / "vmlinuz"))) == 1


def test_by_default_nodes_neither_fetch_nor_serve_stage_0(fleet: Fleet, release: Path, tmp_path: Path) -> None:
    with (
        serving(fleet, "--pxe-listen", "127.0.0.1:0") as seeder,
        booting(tmp_path, 1, *asking(seeder, fleet), "--linger") as node,
    ):
        node.report()
        assert len(urls(script(seeder), digest(release / "vmlinuz"))) == 1
        assert status(seeder)["stage0"]["trust"] == "origin-only"
        assert not (node.into / digest(release / "vmlinuz")).exists()


def test_with_one_slot_the_second_machine_waits_until_the_first_has_loaded(lan: Seeder, release: Path) -> None:
    first = script(lan, "52-54-00-00-00-01")
    second = script(lan, "52-54-00-00-00-02")
    assert "1 machine before this one" in second
    assert len(second) < 300
    for name in ("vmlinuz", "initramfs.img"):
        (url,) = urls(first, digest(release / name))
        get(url)
    assert urls(script(lan, "52-54-00-00-00-02"), digest(release / "vmlinuz"))


def test_a_node_started_with_another_kernel_says_so_and_reports_it(
    lan: Seeder, fleet: Fleet, release: Path, tmp_path: Path
) -> None:
    initramfs = digest(release / "initramfs.img")[:16]
    with booting(tmp_path, 1, *asking(lan, fleet), "--stage0", f"{'0' * 16},{initramfs}") as node:
        status_code, said = node.end()
        expected = f"its kernel is not the manifest's: expected {digest(release / 'vmlinuz')[:16]}, found {'0' * 16}"
        assert status_code == 0
        assert expected in said
        assert node.report()["stage0"] == expected


def test_firmware_may_load_a_unified_kernel_image_itself(tmp_path: Path) -> None:
    release = build_release(tmp_path / "release", size_bytes=300_000)
    (release / "boot.efi").write_bytes(b"MZ" + Random(9).randbytes(50_000))
    with serving(build_fleet(tmp_path, release), "--pxe-listen", "127.0.0.1:0") as seeder:
        assert get(f"{seeder.stage0_url()}/boot/boot.efi") == (release / "boot.efi").read_bytes()
        (url,) = urls(script(seeder), digest(release / "boot.efi"))
        assert get(url) == (release / "boot.efi").read_bytes()


@pytest.fixture
def slow_lan(tmp_path: Path) -> Iterator[tuple[Seeder, Fleet]]:
    """A seeder whose uplink takes the images ten seconds, and kernel and initramfs a moment."""
    release = build_release(tmp_path / "release", size_bytes=1_200_000, stage0_bytes=20_000)
    fleet = build_fleet(tmp_path / "fleet", release)
    uplink = ("--stage0-trust", "lan", "--stage0-slots", "1", "--uplink", "1mbit")
    with serving(fleet, "--pxe-listen", "127.0.0.1:0", *uplink) as seeder:
        yield seeder, fleet


def test_a_node_serves_stage_0_while_it_still_fetches_its_images_if_machines_wait(
    slow_lan: tuple[Seeder, Fleet], tmp_path: Path
) -> None:
    seeder, fleet = slow_lan
    release = tmp_path / "release"
    script(seeder, "52-54-00-00-00-01")
    assert "1 machine before this one" in script(seeder, "52-54-00-00-00-02")
    with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
        wait_for_stage0_neighbour(seeder)
        text = script(seeder, "52-54-00-00-00-02")
        for name in ("vmlinuz", "initramfs.img"):
            first, last = urls(text, digest(release / name))
            assert first.startswith("http://127.0.0.2:")
            assert last.startswith(seeder.stage0_url())
            assert get(first) == (release / name).read_bytes()
        assert not node.report_path.exists()
        wait_until("the node to be named no more", lambda: status(seeder)["stage0"]["neighbours"] == 0)
        node.report()
        assert node.end()[0] == 0
        assert set(node.digests()) == {"rootfs.squashfs", "00-plugin.squashfs"}


def test_a_node_is_left_to_its_images_while_no_machine_waits(slow_lan: tuple[Seeder, Fleet], tmp_path: Path) -> None:
    seeder, fleet = slow_lan
    with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
        node.report()
        assert node.end()[0] == 0
        assert not (node.into / digest(tmp_path / "release" / "vmlinuz")).exists()
