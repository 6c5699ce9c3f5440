"""Building an initramfs in another system's tree: one line says why where its programs do not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmboot.errors import ResourceError, ToolMissingError
from swarmboot.release.key_files import write_pair
from tests.support.commands import Done, run

pytestmark = pytest.mark.root
VAX = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x4b\x00" + bytes(44)
"""The head of a program for a machine that neither this one nor QEMU runs (elf(5), EM_VAX)."""


def build(tmp_path: Path) -> Done:
    trust = write_pair(tmp_path / "keys")[1]
    out = ("--out", tmp_path / "out/initramfs.img")
    return run("hook", "build-initramfs", "--inside", tmp_path / "tree", "--kernel", "1", *out, "--trust", trust)


def test_a_tree_whose_programs_do_not_run_here_is_refused_by_its_machine_type(tmp_path: Path) -> None:
    (tmp_path / "tree/usr/bin").mkdir(parents=True)
    (tmp_path / "tree/usr/bin/python3").write_bytes(VAX)
    (tmp_path / "tree/usr/bin/python3").chmod(0o755)
    done = build(tmp_path)
    assert done.status == ToolMissingError.exit_status
    assert "do not run on this machine" in done.line
    assert "user emulation for machine 75" in done.line
    assert "install qemu-user-static" in done.line
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_no_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    done = build(tmp_path)
    assert done.status == ToolMissingError.exit_status
    assert f"{tmp_path}/tree has no /usr/bin/python3" in done.line


def test_a_runtime_of_another_distribution_is_not_installed(tmp_path: Path) -> None:
    runtime, root = tmp_path / "runtime.squashfs", tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/sh").write_bytes(VAX)
    runtime.write_bytes(b"hsqs")
    runtime.with_suffix(".libraries").write_text("/lib64/ld-linux-x86-64.so.2\n")
    trust = write_pair(tmp_path / "keys")[1]
    done = run("hook", "install", "--dracut", "--root", root, "--runtime", runtime, "--trust", trust)
    assert done.status == ResourceError.exit_status
    assert "expected machine 75, found x86-64" in done.line
    assert sorted(root.rglob("*")) == [root / "bin", root / "bin/sh"]
