"""`swarmboot publish` says what is missing before it writes anything: no key, no site, no half of either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swarmboot.errors import (
    KeyFileError,
    ReleaseError,
    SpaceError,
    SwarmbootError,
    ThresholdError,
    ToolMissingError,
)
from swarmboot.release import key_files
from tests.support.coinboot import write_server, write_small_root
from tests.support.commands import run
from tests.support.live import kernel_bytes, write_built
from tests.support.loopback import build_release

UKIFY = Path("/usr/lib/systemd/ukify")


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a release beside which there is nothing, for somebody who has no key yet and no programs."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return build_release(tmp_path / "release", size_bytes=100_000, stage0_bytes=20_000)


def program(release: Path, name: str) -> None:
    path = release.parent / "bin" / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def with_pem(release: Path) -> None:
    program(release, "ukify")
    (release.parent / "sb.pem").write_text("x")


def without_kernel(release: Path) -> None:
    (release / "vmlinuz").unlink()


def with_a_broken_key(release: Path) -> None:
    (release.parent / "imgverify").mkdir()
    (release.parent / "imgverify/stage0.key").write_text("x")


def with_a_secret(release: Path) -> None:
    (release / "env").mkdir()
    (release / "env/a.secret.env").write_text("A=1\n")
    (release / "env/a.secret.env").chmod(0o600)


def with_a_trace(release: Path) -> None:
    (release.parent / "trace").write_text("# swarmboot trace\nother.squashfs 0 96\n")


def with_a_strangers_key(release: Path) -> None:
    key_files.write_pair(release.parent / "other")


def twice_the_same(release: Path) -> None:
    (release / "plugins/99-same.squashfs").write_bytes((release / "plugins/00-plugin.squashfs").read_bytes())


def nothing(release: Path) -> None:
    del release


SIGNED = ("--secureboot-key", "{work}/sb.pem", "--secureboot-cert", "{work}/sb.pem")
ROWS: list[tuple[Callable[[Path], None], tuple[str, ...], type[SwarmbootError], str]] = [
    (with_pem, ("--uki", *SIGNED), ToolMissingError, "sbsign is not installed"),
    (without_kernel, ("--uki",), ReleaseError, "holds no kernel for a unified kernel image"),
    (nothing, ("--uki", *SIGNED), KeyFileError, "sb.pem cannot be read"),
    (nothing, ("--systemd-key", "me"), ToolMissingError, "gpg is not installed"),
    (without_kernel, ("--stage0-key", "{work}/imgverify"), ReleaseError, "the release has no stage 0"),
    (with_a_broken_key, ("--stage0-key", "{work}/imgverify"), KeyFileError, "holds no usable stage0.key"),
    (with_a_trace, ("--trace", "{work}/trace", "--sort"), ToolMissingError, "not installed: unsquashfs, mksquashfs"),
    (with_a_trace, ("--trace", "{work}/trace"), ReleaseError, "other.squashfs"),
    (with_a_secret, (), ReleaseError, "which reach nodes only with a fleet token"),
    (with_a_strangers_key, ("--trust", "{work}/other/swarmboot.pub"), ThresholdError, "not enough to sign"),
]


@pytest.mark.parametrize(("change", "options", "kind", "said"), ROWS, ids=[row[3] for row in ROWS])
def test_what_is_missing_is_said_before_a_key_or_a_site_is_made(
    release: Path, change: Callable[[Path], None], options: tuple[str, ...], kind: type[SwarmbootError], said: str
) -> None:
    change(release)
    work = release.parent
    before = sorted(work.rglob("*"))
    done = run("publish", "--force", release, *(each.format(work=work) for each in options))
    assert done.status == kind.exit_status, done.err
    assert said in done.line
    assert sorted(work.rglob("*")) == before


@pytest.mark.skipif(UKIFY.exists(), reason="they need a machine without ukify")
def test_without_ukify_nothing_is_written(release: Path) -> None:
    before = sorted(release.parent.rglob("*"))
    done = run("publish", "--force", release, "--uki")
    assert done.status == ToolMissingError.exit_status
    assert done.line.startswith("swarmboot: ukify is not installed")
    assert sorted(release.parent.rglob("*")) == before


def coinboot(folder: Path, root: Path) -> None:
    kernel = root.parent / "kernel"
    kernel.write_bytes(kernel_bytes())
    write_server(folder, root, kernel=kernel)


@pytest.mark.needs("mksquashfs", "cpio", "zstd", "gzip")
@pytest.mark.parametrize("build", [coinboot, write_built])
def test_another_system_is_not_begun_with_where_a_program_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: Callable[..., object]
) -> None:
    folder = tmp_path / "work/theirs"
    folder.parent.mkdir()
    build(folder, write_small_root(tmp_path / "root"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "work/home"))
    monkeypatch.setenv("PATH", str(tmp_path))
    before = sorted(folder.parent.rglob("*"))
    done = run("publish", "--force", folder)
    assert done.status == ToolMissingError.exit_status, done.err
    assert "mksquashfs" in done.line
    assert sorted(folder.parent.rglob("*")) == before


@pytest.mark.parametrize("is_there", [False, True])
def test_a_site_that_is_begun_and_holds_nothing_is_taken_away_again(
    release: Path, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    """No room is found out when the site's disk is known, which is when its folders are."""
    site = release.parent / "new/site"
    if is_there:
        site.mkdir(parents=True)
        (site / "own").write_text("somebody's")
    monkeypatch.setattr("seeder.site.writer.SiteWriter.check_space", lambda *_: no_room())
    done = run("publish", "--force", release, "--site", site)
    assert done.status == SpaceError.exit_status, done.err
    assert (sorted(path.name for path in site.iterdir()) == ["own"]) if is_there else not site.parent.exists()


def no_room() -> None:
    raise SpaceError("no room")


def test_what_was_copied_before_a_publish_failed_is_kept_for_the_next_one(release: Path) -> None:
    twice_the_same(release)
    done = run("publish", "--force", release)
    assert done.status == ReleaseError.exit_status
    site = release.parent / "site"
    assert list((site / "blobs").iterdir())
    assert not (site / "manifests").exists()
    (release / "plugins/99-same.squashfs").unlink()
    done = run("publish", "--force", release, "--json")
    assert done.status == 0, done.err
    assert done.value["copied_bytes"] == 0
