"""Which of a node's own files may come over the network, and where they are laid down."""

from __future__ import annotations

from pathlib import Path

import pytest

from leecher.initramfs.node_files import check_files, lay_down
from swarmboot.errors import UnknownSettingError


@pytest.mark.parametrize("path", ["etc/swarmboot/node", "etc/hostname", "run/keys/host.pem", "etc/swarmboots/x"])
def test_settings_and_files_below_etc_and_run_may_come(path: str) -> None:
    assert check_files({path: (0o644, b"x")})


@pytest.mark.parametrize(
    "path",
    [
        "etc/swarmboot/fleet.pub",
        "etc/swarmboot/ca.pem",
        "etc/swarmboot/fleet.token",
        "etc/swarmboot/defaults",
        "etc/swarmboot",
        "run/swarmboot/etc/fleet.pub",
        "run/swarmboot",
        "etc",
        "init",
        "usr/lib/swarmboot/driver.sh",
    ],
)
def test_what_says_whom_to_trust_and_what_is_run_may_not_come(path: str) -> None:
    with pytest.raises(UnknownSettingError, match="may not come over the network"):
        check_files({"etc/hostname": (0o644, b"x"), path: (0o644, b"x")})


def test_files_are_laid_down_with_a_list_and_the_settings_where_they_are_read(tmp_path: Path) -> None:
    files = {"etc/swarmboot/node": (0o644, b"rack=r1\n"), "run/keys/host": (0o4700, b"k")}
    lay_down(files, state=tmp_path, settings=tmp_path / "etc/node")
    assert (tmp_path / "handover/node-files").read_text() == "etc/swarmboot/node\nrun/keys/host\n"
    assert (tmp_path / "etc/node").read_text() == "rack=r1\n"
    assert (tmp_path / "node-files.new/run/keys/host").stat().st_mode & 0o7777 == 0o700
