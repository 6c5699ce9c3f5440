"""Boards with U-Boot: which device tree is whose, and what is laid out for them over TFTP."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from seeder.boot_script.load import Stage0Trust, stage0_of
from seeder.policy.facts.registry import Registry
from seeder.policy.stage0_queue import Stage0Queue
from seeder.stage0.boards import Boards, parse_boards
from seeder.stage0.rack_map import RackMap, parse_rack_map
from seeder.stage0.served import Served
from seeder.stage0.u_boot import UBoot, kernel_note
from swarmboot.errors import BlobError, MalformedSettingError, ReleaseError
from swarmboot.ids import Digest
from swarmboot.release import layout
from swarmboot.release.manifest import Artifact
from tests.support import stage0
from tests.support.live import kernel_bytes
from tests.support.stage0 import A, B


def of_its_bytes(image: Artifact) -> Artifact:
    """Return an image whose bytes are its name."""
    content = image.name.encode()
    return replace(image, sha256=Digest(hashlib.sha256(content).digest()), size_bytes=len(content))


KERNEL, INITRAMFS = of_its_bytes(stage0.KERNEL), of_its_bytes(stage0.INITRAMFS)
MANIFEST = replace(stage0.MANIFEST, artifacts=(KERNEL, INITRAMFS, *stage0.MANIFEST.artifacts[2:]))
TREE = "rockchip/rk3399-rockpro64.dtb"


def test_a_board_has_its_own_device_tree_or_that_of_all_others() -> None:
    boards = parse_boards(f"* a.dtb\n{A} {TREE}  # the first\n{B}\n", where="boards")
    assert (boards.tree(A), boards.tree("52:54:00:99:99:99"), boards.tree(B)) == (TREE, "a.dtb", "")
    assert Boards().tree(A) == ""


@pytest.mark.parametrize(
    "line",
    [f"{A} ../x.dtb", f"{A} /x.dtb", f"{A} x", f"{A} a.dtb b.dtb", "52:54:00:* a.dtb", "10.0.0.0/24 a.dtb", "x a.dtb",
     f"{A} a;b.dtb"],
)  # fmt: skip
def test_a_line_that_is_none_about_a_board_is_named(line: str) -> None:
    with pytest.raises(MalformedSettingError, match="boards:2 is no line about a board"):
        parse_boards(f"\n{line}\n", where="boards")


def test_a_board_is_named_once() -> None:
    with pytest.raises(MalformedSettingError, match="boards:2 names a board twice"):
        parse_boards(f"{A} a.dtb\n{A} b.dtb\n", where="boards")


def build(work: Path, *, boards: str = "", racks: str = "") -> tuple[UBoot, Served, Path]:
    """Return boards to serve, what they are served and the site, which has one device tree."""
    site = work / "site"
    for image in (KERNEL, INITRAMFS):
        path = site / layout.blob_path(image.sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.name.encode())
    tree = site / f"stage0/{KERNEL.sha256.hex()}.dtb" / TREE
    tree.parent.mkdir(parents=True, exist_ok=True)
    tree.write_bytes(b"tree")
    queue = Stage0Queue(Registry(), trust=Stage0Trust.ORIGIN_ONLY, uplink_bytes_per_s=1e8)
    queue.serve(stage0_of(MANIFEST))
    rack_map = parse_rack_map(racks, where="racks") if racks else RackMap()
    u_boot = UBoot(
        root=work / "tftp", boards=parse_boards(boards, where="boards"), racks=rack_map, server="https://10.0.0.1:8470"
    )
    (work / "tftp").mkdir(exist_ok=True)
    return u_boot, Served(queue, MANIFEST), site


def test_every_file_that_a_configuration_names_is_there(tmp_path: Path) -> None:
    u_boot, served, site = build(tmp_path, boards=f"{A} {TREE}", racks=f"{B} r7 \n")
    u_boot.lay_out(served, site)
    root = tmp_path / "tftp"
    texts = {path.name: path.read_text() for path in (root / "pxelinux.cfg").iterdir()}
    assert set(texts) == {"default", "default-arm", *(f"01-{mac.replace(':', '-')}" for mac in (A, B))}
    for text in (*texts.values(), (root / "u-boot.cfg").read_text()):
        named = dict(line.split(" ", 1) for line in text.splitlines())
        assert (root / named["linux"]).read_bytes() == b"vmlinuz"
        assert (root / named["initrd"]).read_bytes() == b"initramfs.img"
        assert (root / named["fdt"]).is_file() if "fdt" in named else (root / named["fdtdir"] / TREE).is_file()
    assert f"BOOTIF=01-{A.replace(':', '-')}" in texts[f"01-{A.replace(':', '-')}"]
    assert "swarmboot.rack=r7" in texts[f"01-{B.replace(':', '-')}"]
    assert "BOOTIF" not in texts["default"]
    blob = site / layout.blob_path(KERNEL.sha256)
    assert blob.stat().st_nlink == 1  # a service owns what is in its state, and must not come to own the site


def test_what_is_no_longer_known_of_a_board_goes(tmp_path: Path) -> None:
    u_boot, served, site = build(tmp_path, boards=f"{A} {TREE}")
    u_boot.lay_out(served, site)
    u_boot, served, site = build(tmp_path)
    u_boot.lay_out(served, site)
    assert sorted(path.name for path in (tmp_path / "tftp/pxelinux.cfg").iterdir()) == ["default", "default-arm"]


def test_a_device_tree_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    u_boot, served, site = build(tmp_path, boards=f"{A} other.dtb")
    with pytest.raises(ReleaseError, match="no device tree other"):
        u_boot.lay_out(served, site)
    assert not list((tmp_path / "tftp").iterdir())


def test_what_was_altered_in_the_site_is_given_to_no_board(tmp_path: Path) -> None:
    u_boot, served, site = build(tmp_path)
    (site / layout.blob_path(KERNEL.sha256)).write_bytes(b"VMLINUZ")
    with pytest.raises(BlobError, match="is not the kernel that was published"):
        u_boot.lay_out(served, site)
    assert [path for path in (tmp_path / "tftp").rglob("*") if path.is_file()] == []
    build(tmp_path)
    u_boot.lay_out(served, site)
    (laid_out,) = (tmp_path / "tftp").rglob("vmlinuz")
    laid_out.write_bytes(b"VMLINUZ")
    u_boot.lay_out(served, site)
    assert laid_out.read_bytes() == b"vmlinuz"


def test_the_release_before_stays_for_who_is_loading_it_and_older_ones_go(tmp_path: Path) -> None:
    u_boot, served, site = build(tmp_path)
    for number, name in enumerate(("first", "second")):
        folder = tmp_path / "tftp/u-boot" / name
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    u_boot.lay_out(served, site)
    names = {path.name for path in (tmp_path / "tftp/u-boot").iterdir()}
    assert "second" in names
    assert "first" not in names
    assert len(names) == 2


def test_a_release_that_comes_meanwhile_is_not_mixed_with_the_one_before(tmp_path: Path) -> None:
    u_boot, served, site = build(tmp_path, boards=f"{A} {TREE}", racks=f"{B} r7\n")

    class Overtaken(Boards):
        def tree(self, mac: str) -> str:
            """Have another release come."""
            del mac
            served.manifest = replace(MANIFEST, cmdline="next")
            served.queue.serve(stage0_of(served.manifest))
            return ""

    replace(u_boot, boards=Overtaken()).lay_out(served, site)
    assert list((tmp_path / "tftp").iterdir()) == []
    u_boot.lay_out(served, site)
    assert " next " in (tmp_path / "tftp/u-boot.cfg").read_text()


def test_a_kernel_for_pcs_is_said_and_what_says_nothing_of_itself_is_not(tmp_path: Path) -> None:
    _, served, site = build(tmp_path)
    assert kernel_note(served, site) == ""
    (site / layout.blob_path(KERNEL.sha256)).write_bytes(kernel_bytes())
    assert kernel_note(served, site) == ", whose kernel is for x86-64: publish one for the boards"
