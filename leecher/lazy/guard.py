"""What keeps the kernel's own needs from waiting for a program that the kernel waits for.

A server of files whose memory the kernel takes back in order to serve a read deadlocks with itself. So it says that it
is one (PR_SET_IO_FLUSHER, prctl(2): its allocations start no writeback), and what it has touched stays in memory
(mlockall(2)). MCL_ONFAULT, because all that a Python maps would be several times what it uses.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

_SET_IO_FLUSHER, _GET_IO_FLUSHER = 57, 58
_CURRENT_FUTURE_ON_FAULT = 1 | 2 | 4
_NEW_MOUNTS, _PRIVATE, _DETACH = 0x2_0000, 0x4000 | 1 << 18, 2
"""CLONE_NEWNS; MS_REC and MS_PRIVATE; MNT_DETACH."""
_NEVER_KILLED, _LIKE_ANY = "-1000", "0"


def stand_guard() -> list[str]:
    """Make this process fit to serve the kernel; return in words what could not be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    faults = []
    libc.prctl(_SET_IO_FLUSHER, 1, 0, 0, 0)
    if libc.prctl(_GET_IO_FLUSHER, 0, 0, 0, 0) != 1:  # passed wrongly it is cleared without a word
        faults.append(f"PR_SET_IO_FLUSHER: {os.strerror(ctypes.get_errno())}")
    if libc.mlockall(_CURRENT_FUTURE_ON_FAULT) != 0:
        faults.append(f"mlockall: {os.strerror(ctypes.get_errno())}")
    try:
        _adjust_score("self", _NEVER_KILLED)
    except OSError as error:
        faults.append(f"oom_score_adj: {error.strerror}")
    return faults


def spawn(command: list[str], environment: dict[str, str]) -> int:
    """Start a program and return its process; it is guarded like any other.

    A child would have what its parent is spared, and the fetcher is ten times as large: it is to be killed before
    anything else is (proc(5)), and to have memory written back for it like any other (prctl(2)).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    is_flusher = libc.prctl(_GET_IO_FLUSHER, 0, 0, 0, 0) == 1
    if is_flusher:
        libc.prctl(_SET_IO_FLUSHER, 0, 0, 0, 0)  # of this thread, whose the child's is made of
    try:
        child = os.posix_spawnp(command[0], command, environment)
    finally:
        if is_flusher:
            libc.prctl(_SET_IO_FLUSHER, 1, 0, 0, 0)
    with contextlib.suppress(OSError):  # it has ended already
        _adjust_score(str(child), _LIKE_ANY)
    return child


def _adjust_score(process: str, score: str) -> None:
    with open(f"/proc/{process}/oom_score_adj", "w") as file:  # noqa: PTH123 - pathlib costs memory that stays
        file.write(score)


def enter_own_mounts(root: int) -> str:
    """Have this process keep all that is mounted now, whatever is unmounted elsewhere; return a fault in words.

    At the switch of roots systemd 257 binds /run anew and lets go of the old tree, which parts each mount from
    those below it: to a program that has its root in there everything is gone but its root's own files. `root` is an
    open descriptor of the root that it was started from, closed here: mounts are shared from there on.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    os.fchdir(root)
    os.close(root)
    fault = ""
    if libc.unshare(_NEW_MOUNTS) != 0 or libc.mount(b"none", b".", None, ctypes.c_ulong(_PRIVATE), None) != 0:
        fault = os.strerror(ctypes.get_errno())
    os.chdir("/")
    return fault


def forget_mount(path: str) -> None:
    """Let go of something mounted, among this process's own mounts; nothing happens if it is not."""
    ctypes.CDLL(None).umount2(os.fsencode(path), _DETACH)


def mark_as_storage() -> None:
    """Have `@` for the first byte of this process's command line, in the memory where the kernel reads it (proc(5))."""
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - pathlib costs memory that stays
        start = int(file.read().rpartition(b")")[2].split()[45])
    if start:
        ctypes.memset(start, ord("@"), 1)
