"""Publication of stage 0: what is printed, and signatures that another implementation of CMS believes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from swarmboot.errors import BlobError, KeyFileError, MalformedSettingError, ToolMissingError
from tests.support.loopback import build_release, program

UKIFY = """#!/bin/sh
for word; do case $word in --output=*) out=${word#--output=} ;; --linux=*) linux=${word#--linux=} ;; esac; done
{ printf MZ; cat "$linux"; } >"$out"
"""
"""In ukify's place, which the suite that this runs on may lack: what is tried is which image is taken."""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = build_release(tmp_path / "release", size_bytes=300_000)
    (folder / "vmlinuz").write_bytes(b"kernel" * 10_000)
    (folder / "initramfs.img").write_bytes(b"initramfs" * 10_000)
    assert program("swarmboot", "keygen", "--out", tmp_path / "keys").returncode == 0
    return folder


def publish(release: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    folder = release.parent
    fixed = ("--site", folder / "site", "--key", folder / "keys" / "swarmboot.key")
    return program("swarmboot", "publish", "--force", release, *fixed, *arguments)


def verify(folder: Path, content: Path) -> int:
    """Return the status of openssl-cms(1) on the signature that a site holds for these bytes."""
    digest = hashlib.sha256((folder / "release" / "vmlinuz").read_bytes()).hexdigest()
    command = [
        "openssl", "cms", "-verify", "-inform", "DER", "-in", str(folder / "site" / "stage0" / f"{digest}.sig"),
        "-content", str(content), "-binary", "-CAfile", str(folder / "stage0" / "stage0.crt"), "-purpose", "any",
        "-out", str(folder / "out"),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_the_cost_of_stage_0_is_printed_and_warned_of(release: Path) -> None:
    done = publish(release, "--nodes", "500", "--uplink", "10mbit")
    assert "stage 0: 146.5 KiB, kernel and initramfs" in done.stdout
    assert "stage 0 for 500 nodes at 10mbit: 63.7 s from the server alone" in done.stdout
    assert "warning: from the server alone, stage 0 takes longer than the images" in done.stdout


def test_without_a_fleet_size_only_its_own_size_is_printed(release: Path) -> None:
    said = json.loads(publish(release, "--json").stdout)["stage0"]
    assert said == ["stage 0: 146.5 KiB, kernel and initramfs, before anything of ours runs"]


@pytest.mark.needs("openssl")
def test_the_kernel_is_signed_as_imgverify_takes_it_and_another_is_not(release: Path) -> None:
    folder = release.parent
    assert (
        "stage 0 would be signed for imgverify"
        in publish(release, "--stage0-key", folder / "stage0", "--dry-run").stdout
    )
    assert not (folder / "stage0").exists()
    assert publish(release, "--stage0-key", folder / "stage0").returncode == 0
    other = folder / "other"
    other.write_bytes(b"Kernel" + (release / "vmlinuz").read_bytes()[6:])
    assert verify(folder, release / "vmlinuz") == 0
    assert verify(folder, other) != 0
    assert (folder / "stage0" / "stage0.key").stat().st_mode & 0o777 == 0o600


def test_a_kernel_that_was_altered_in_the_site_is_not_signed(release: Path) -> None:
    folder = release.parent
    assert publish(release).returncode == 0
    digest = hashlib.sha256((release / "vmlinuz").read_bytes()).hexdigest()
    (blob,) = (folder / "site" / "blobs").rglob(digest)
    blob.write_bytes(b"Kernel" + blob.read_bytes()[6:])
    done = publish(release, "--stage0-key", folder / "stage0")
    assert done.returncode == BlobError.exit_status
    assert "is not the kernel that was published" in done.stderr
    assert not list((folder / "site" / "stage0").glob("*.sig"))


def test_a_unified_kernel_image_in_the_site_is_signed_only_if_it_was_before(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to the site puts another image under the name of the one that is kept there."""
    folder = release.parent
    tool = folder / "bin/ukify"
    tool.parent.mkdir()
    tool.write_text(UKIFY)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    assert publish(release, "--uki").returncode == 0
    (kept,) = (folder / "site/stage0").glob("boot-*.efi")
    before = kept.stat()
    assert publish(release, "--uki").returncode == 0
    assert kept.stat().st_mtime_ns == before.st_mtime_ns, "an image of our own is kept"
    ours = kept.read_bytes()
    kept.write_bytes(b"MZ anybody's")
    assert publish(release, "--uki").returncode == 0
    assert kept.read_bytes() == ours


def test_the_same_key_signs_the_next_release(release: Path) -> None:
    folder = release.parent
    publish(release, "--stage0-key", folder / "stage0")
    certificate = (folder / "stage0" / "stage0.crt").read_bytes()
    publish(release, "--stage0-key", folder / "stage0")
    assert (folder / "stage0" / "stage0.crt").read_bytes() == certificate


@pytest.mark.skipif(shutil.which("ukify") is not None, reason="they need a machine without ukify")
def test_without_ukify_a_unified_kernel_image_is_refused_in_one_line(release: Path) -> None:
    done = publish(release, "--uki")
    assert done.returncode == ToolMissingError.exit_status
    assert done.stderr.splitlines()[-1].startswith("swarmboot: ukify is not installed")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--uki", "--secureboot-key", "k.pem"), "--secureboot-key and --secureboot-cert belong together"),
        (("--secureboot-key", "k.pem", "--secureboot-cert", "c.pem"), "--secureboot-key signs a unified kernel image"),
        (("--uki", "--secureboot-key", "k.pem", "--secureboot-cert", "c.pem"), "k.pem cannot be read"),
    ],
)
def test_half_a_signature_is_refused_in_one_line(release: Path, arguments: tuple[str, ...], line: str) -> None:
    done = publish(release, *arguments)
    assert done.returncode in (MalformedSettingError.exit_status, KeyFileError.exit_status)
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"swarmboot: {line}")


def test_a_unified_kernel_image_in_the_release_takes_the_place_of_kernel_and_initramfs(release: Path) -> None:
    (release / "boot.efi").write_bytes(b"MZ" + bytes(1000))
    done = publish(release)
    assert "vmlinuz is not published: boot.efi takes its place" in done.stdout + done.stderr
    assert "stage 0: 1002 B, one unified kernel image" in done.stdout
