"""The hook's shell driver, run under each shell that an initramfs may bring, with a test's command line and folders."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.tree import DRIVER

SHELLS = [("dash",), ("busybox", "sh"), ("bash", "--posix")]


def drive(shell: tuple[str, ...], folder: Path, call: str, *, cmdline: str = "") -> tuple[int, str]:
    (folder / "cmdline").write_text(cmdline + "\n")
    (folder / "console").touch()
    script = f"""
        swarmboot_cmdline={folder}/cmdline
        swarmboot_console={folder}/console
        swarmboot_kmsg={folder}/kmsg
        swarmboot_files={DRIVER.parent}
        . {DRIVER}
        swarmboot_run={folder}
        {call}
    """
    done = subprocess.run((*shell, "-c", script), capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout + done.stderr


def plant(root: Path, files: dict[str, str], links: dict[str, str]) -> Path:
    """Make a root of programs (with their mode, as in "755") and links."""
    for name, mode in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("#!/bin/sh\n")
        (root / name).chmod(int(mode, 8))
    for name, target in links.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    return root
