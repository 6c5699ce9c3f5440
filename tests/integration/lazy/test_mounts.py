"""What the server of reads stands on stays, though the tree that it was started in is let go of (0056)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.needs("mount", "umount", "unshare")]

_MOUNTS = """
mount -t tmpfs none "$1" && mkdir "$1/runtime" && mount -t tmpfs none "$1/runtime" && mkdir "$1/runtime/below"
mount -t tmpfs none "$1/runtime/below" && echo still here >"$1/runtime/below/file"
mkfifo "$1/go"
"$2" -c "$3" "$1" &
read -r _ <"$1/go"
umount -l "$1"
kill -USR1 $!
wait $!
"""
_SERVER = """
import os, signal, sys
from leecher.lazy.guard import enter_own_mounts, forget_mount
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
root, go = os.open("/", os.O_RDONLY), os.open(f"{sys.argv[1]}/go", os.O_RDWR)
os.chroot(f"{sys.argv[1]}/runtime")
print(enter_own_mounts(root) if OWN else os.close(root))
os.write(go, b"go\\n")
signal.sigwait({signal.SIGUSR1})
print(os.path.exists("/below/file"))
forget_mount("/below")
print(os.path.exists("/below/file"))
"""


@pytest.mark.parametrize(("has_own", "said"), [(True, "\nTrue\nFalse\n"), (False, "None\nFalse\nFalse\n")])
def test_mounts_of_its_own_outlast_the_tree_that_a_program_was_started_in(
    tmp_path: Path, has_own: bool, said: str
) -> None:
    """As systemd shares all mounts, and lets go of the old tree at the switch of roots."""
    command = ["unshare", "--mount", "--propagation", "shared", "sh", "-c", _MOUNTS, "sh", str(tmp_path)]
    server = _SERVER.replace("OWN", str(has_own))
    done = subprocess.run([*command, sys.executable, server], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (said, "")
