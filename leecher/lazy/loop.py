"""Loop devices: one put over a file, and the file exchanged under whatever is mounted from it (loop(4)).

LOOP_CHANGE_FD wants a read-only device and a file of the same size; it waits for the reads under way. Run as a program
it takes the files away from the devices named.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import sys
import threading
from collections.abc import Sequence

_GET_FREE, _CONFIGURE, _CHANGE, _CLEAR = 0x4C82, 0x4C0A, 0x4C06, 0x4C01
_READ_ONLY, _DIRECT_IO = 1, 16
_CONFIG = struct.Struct("<II40xIIII64s64x32x16x64x")
_TRIES = 50


def attach(descriptor: int, *, name: str) -> tuple[str, int]:
    """Put a free loop device over an open file, read-only, and return its path and a descriptor of it.

    It reads past the page cache, so that nothing is held twice. It stays when nobody uses it: who mounts it may come
    after the exchange. Raises OSError.
    """
    with open("/dev/loop-control", "rb", buffering=0) as control:  # noqa: PTH123 - pathlib costs memory that stays
        for _ in range(_TRIES):
            path = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
            device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            config = _CONFIG.pack(descriptor, 0, 0, 0, 0, _READ_ONLY | _DIRECT_IO, name.encode()[:63])
            try:
                fcntl.ioctl(device, _CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # somebody else was faster
                    raise
            else:
                return path, device
    raise OSError(errno.EBUSY, "no loop device is free")


def detach(device: int) -> None:
    """Take the file away from a loop device, at once or, where it is in use, when it no longer is."""
    with contextlib.suppress(OSError):  # it has none any more
        fcntl.ioctl(device, _CLEAR)


def exchange(pairs: Sequence[tuple[int, int]]) -> None:
    """Have each of these loop devices read the open file beside it, of the same size, from now on; raises OSError.

    All at once: the kernel stops each device's queue and waits for a grace period, some 15 ms, and that they share.
    """
    faults: list[OSError] = []

    def change(device: int, descriptor: int) -> None:
        try:
            fcntl.ioctl(device, _CHANGE, descriptor)
        except OSError as error:
            faults.append(error)

    threads = [threading.Thread(target=change, args=pair) for pair in pairs[1:]]
    for thread in threads:
        thread.start()
    for pair in pairs[:1]:
        change(*pair)
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


if __name__ == "__main__":
    for path in sys.argv[1:]:
        detach(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
