"""One process at a time in a folder whose files are read, changed and written again: a lock on the folder (flock(2)).

It binds those alone that ask for it, and ends with whoever holds it, killed or not. Nothing is left in the folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swarmboot.errors import SiteBusyError

WAIT_S = 30.0
_AGAIN_S = 0.02
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system says that cannot lock a folder, as NFS; there it is as if nobody asked."""


@contextmanager
def alone_in(folder: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold a folder for as long as the block lasts, having waited until nobody else does.

    Raises SiteBusyError if somebody still does after `wait_s`, OSError for a folder that cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _take(descriptor, folder, wait_s)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path, wait_s: float) -> None:
    end_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= end_s:
                raise SiteBusyError(
                    f"another command is writing to {folder}",
                    expected=f"it to end within {wait_s:.0f} s",
                    hint="wait until it has finished, and run it again",
                ) from error
            time.sleep(_AGAIN_S)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return
        else:
            return
