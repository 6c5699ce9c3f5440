"""A boot that is recorded: what its machine believes, and what cannot be booted."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.publish.release_dir import read_release
from seeder.trace.record import Recording, record, trusting, without_secrets
from swarmboot.errors import ReleaseError, ToolMissingError
from tests.support.builders import build_release

HOW = Recording(within_s=1)


def test_the_machine_believes_the_keys_of_its_boot_whatever_its_initramfs_was_built_with() -> None:
    image = trusting(trusting(b"", b"built with", b"other ca"), b"this boot's", b"its ca")
    assert len(image) % 4 == 0
    assert image.rindex(b"this boot's") > image.rindex(b"built with")
    assert b"trace=on" in image


def test_what_needs_a_fleet_token_is_left_out_of_the_boot(tmp_path: Path) -> None:
    folder = build_release(tmp_path / "release")
    (folder / "nodes.secret/default/etc").mkdir(parents=True)
    (folder / "nodes.secret/default/etc/key").write_text("secret")
    (folder / "env").mkdir(exist_ok=True)
    (folder / "env/own.secret.env").write_text("PASSWORD=secret\n")
    release = read_release(folder)
    assert (set(release.secrets), set(release.node_secrets)) == ({""}, {"default"})
    bare = without_secrets(release)
    assert (bare.secrets, bare.node_secrets) == ({}, {})


def test_without_qemu_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="apt-get install qemu-system-x86"):
        record(build_release(tmp_path / "release"), HOW, tell=print)


@pytest.mark.needs("qemu-system-x86_64")
def test_a_release_without_kernel_and_initramfs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"expected vmlinuz and initramfs\.img in it"):
        record(build_release(tmp_path / "release"), HOW, tell=print)
