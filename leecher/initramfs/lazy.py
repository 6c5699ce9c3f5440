"""The server of reads as the initramfs hook runs it: as `leecher.lazy`, but it outlives the initramfs.

In a session of its own, so that no hang-up ends it; with mounts of its own, so that no switch of roots takes away what
it stands on (its first argument is a descriptor of the root from which these are shared); and with `@` for the first
byte of its name, by which systemd knows what a root stands on and leaves it alone at the switch of roots and at the end
(systemd.io/ROOT_STORAGE_DAEMONS). Its number is left for the hook, which ends it if the root cannot be put together,
and has sysvinit leave it alone.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from leecher.lazy.__main__ import main, say
from leecher.lazy.guard import enter_own_mounts, mark_as_storage

NUMBER = "/run/swarmboot/handover/server"
CACHE = "/run/swarmboot/cache"

if __name__ == "__main__":
    with suppress(PermissionError):  # it leads a session already
        os.setsid()
    mark_as_storage()
    if fault := enter_own_mounts(int(sys.argv.pop(1))):
        say(f"the root may be lost when roots are switched: its server cannot have mounts of its own: {fault}")
    with open(NUMBER, "w") as file:  # noqa: PTH123 - pathlib costs memory that stays
        file.write(f"{os.getpid()}\n")
    try:
        main(forget=(sys.argv[2], CACHE))
    finally:
        with suppress(OSError):  # by then the number may be another's
            os.unlink(NUMBER)  # noqa: PTH108 - pathlib costs memory that stays
