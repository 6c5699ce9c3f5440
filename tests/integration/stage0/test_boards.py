"""Boards with U-Boot on loopback: what serve refuses, and device trees from a release to a site and out of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from swarmboot.errors import MalformedSettingError
from tests.support.commands import run
from tests.support.loopback import Fleet, build_fleet, build_release

PXE = ("--pxe", "lo", "--dhcp-range", "127.0.0.10,127.0.0.20")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("boards")
    build_fleet(work / "fleet", build_release(work / "release", size_bytes=300_000, stage0_bytes=20_000))
    return work


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*PXE, "--u-boot", "--stage0-trust", "ipxe-verify"), "U-Boot checks nothing"),
        ((*PXE, "--u-boot", "--stage0-trust", "secureboot"), "U-Boot checks nothing"),
        ((*PXE, "--boards", "boards"), "--boards needs --u-boot"),
        ((*PXE, "--u-boot-unchecked"), "--u-boot-unchecked needs --u-boot"),
        (("--pxe-listen", "127.0.0.1:0", "--u-boot"), "--u-boot needs --pxe"),
    ],
)  # fmt: skip
def test_what_would_load_boards_unchecked_or_not_at_all_is_one_clear_line(
    work: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    own = ("--state", tmp_path / "state", "--listen", "127.0.0.1:0")
    done = run("serve", Fleet(work / "fleet").site, *own, *arguments)
    assert done.status == MalformedSettingError.exit_status
    assert said in done.err
    assert done.err.count("\n") == 1


def test_device_trees_go_with_their_kernel(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work, tmp_path / "work")
    fleet, release = Fleet(tmp_path / "work/fleet"), tmp_path / "work/release"
    (release / "dtb/rockchip").mkdir(parents=True)
    (release / "dtb/rockchip/board.dtb").write_bytes(b"\xd0\x0d\xfe\xed tree")
    fleet.publish(release)
    (first,) = (fleet.site / "stage0").glob("*.dtb")
    assert (first / "rockchip/board.dtb").read_bytes() == b"\xd0\x0d\xfe\xed tree"
    (release / "vmlinuz").write_bytes(b"another kernel")
    fleet.publish(release)
    assert len(list((fleet.site / "stage0").glob("*.dtb"))) == 2
    done = run("prune", fleet.site, "--keep", "1", "--grace", "0s")
    assert done.status == 0, done.err
    (left,) = (fleet.site / "stage0").glob("*.dtb")
    assert left != first
