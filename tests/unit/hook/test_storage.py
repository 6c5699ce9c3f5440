"""How the hook mounts what outlives a boot, and what becomes of a boot without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shells import drive

WAY_OUT = "; to boot once without: touch {folder}/without, at this machine's shell"
DISK = "storage ext4 LABEL=data /srv {missing} nosuid,nodev"
_CALL = """
modprobe() {{ :; }}
mount() {{ echo "mount $*"; {mount}; }}
swarmboot_has_leecher() {{ return 1; }}
swarmboot_patience=0 swarmboot_disks={folder}/disk swarmboot_without_storage={folder}/without
swarmboot_mount_storage {folder}/root
"""


def mounting(
    shell: tuple[str, ...],
    folder: Path,
    plan: str,
    *,
    mount: str = "return 0",
    missing: str = "continue",
    first: str = "",
) -> tuple[int, str, list[str]]:
    """Return the status, what was run, and what the console was told."""
    (folder / "handover").mkdir()
    (folder / "root").mkdir(exist_ok=True)
    (folder / "handover/plan").write_text(f"seed on\n{plan.format(missing=missing)}\n")
    status, said = drive(shell, folder, first + _CALL.format(folder=folder, mount=mount))
    console = folder / "console"
    return status, said, console.read_text().splitlines() if console.exists() else []


def test_a_plan_without_storage_mounts_nothing(shell: tuple[str, ...], tmp_path: Path) -> None:
    assert mounting(shell, tmp_path, "overlay 50%") == (0, "", [])


@pytest.mark.parametrize(("missing", "status"), [("continue", 0), ("stop", 1)])
def test_a_disk_that_is_not_there_is_said_and_stops_only_a_release_that_needs_it(
    shell: tuple[str, ...], tmp_path: Path, missing: str, status: int
) -> None:
    found = mounting(shell, tmp_path, DISK, missing=missing)
    how = "and the release has nodes stop then" if status else "going on without"
    said = f"swarmboot: storage LABEL=data for /srv is missing, {how}: no such disk is there"
    assert found == (status, "", [said + (WAY_OUT.format(folder=tmp_path) if status else "")])


def test_whoever_has_the_console_boots_once_without_what_the_release_needs(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "without").touch()
    found = mounting(shell, tmp_path, DISK, missing="stop")
    said = f"swarmboot: storage LABEL=data for /srv is not mounted: {tmp_path}/without is there"
    assert found == (0, "", [said])


def test_a_server_that_refuses_is_said_with_its_words(shell: tuple[str, ...], tmp_path: Path) -> None:
    plan = "storage nfs4 nas:/x /srv continue nosuid,nodev,addr=10.0.0.1"
    status, _, lines = mounting(shell, tmp_path, plan, mount="echo 'mount: access denied' >&2; return 32")
    said = "swarmboot: storage nas:/x for /srv is missing, going on without: it cannot be mounted as nfs4: mount: "
    assert (status, lines) == (0, [f"{said}access denied"])


def test_a_folder_of_a_server_is_mounted_in_the_root_whatever_its_links_say(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "root/data").mkdir(parents=True)
    (tmp_path / "root/srv").symlink_to("/data")
    plan = "storage nfs4 nas:/x /srv/a/b stop nosuid,nodev,addr=10.0.0.1"
    status, run, lines = mounting(shell, tmp_path, plan)
    where = tmp_path / "root/data/a/b"
    assert (status, run) == (0, f"mount -t nfs4 -o nosuid,nodev,addr=10.0.0.1 nas:/x {where}\n")
    assert where.is_dir()
    assert lines == ["swarmboot: storage nas:/x is mounted on /srv/a/b"]


def test_a_server_that_never_answers_is_given_up(shell: tuple[str, ...], tmp_path: Path) -> None:
    plan = "storage nfs4 nas:/x /srv continue nosuid,nodev"
    first = "swarmboot_nfs_patience=0\n"
    status, _, lines = mounting(shell, tmp_path, plan, mount="exec sleep 60", first=first)
    assert (status, lines) == (
        0, ["swarmboot: storage nas:/x for /srv is missing, going on without: it cannot be mounted as nfs4"],
    )  # fmt: skip
