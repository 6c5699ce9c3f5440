"""The server of reads as the initramfs hook runs it: as `leecher.lazy`, but it outlives the initramfs.

In a session of its own, so that no hang-up ends it, and with `@` for the first byte of its name, by which systemd knows
what a root stands on and leaves it alone at the switch of roots and at the end (systemd.io/ROOT_STORAGE_DAEMONS). Its
number is left for the hook, which ends it if the root cannot be put together, and has sysvinit leave it alone.
"""

from __future__ import annotations

import os
from contextlib import suppress

from leecher.lazy.__main__ import main
from leecher.lazy.guard import mark_as_storage

NUMBER = "/run/swarmboot/handover/server"

if __name__ == "__main__":
    with suppress(PermissionError):  # it leads a session already
        os.setsid()
    mark_as_storage()
    with open(NUMBER, "w") as file:  # noqa: PTH123 - pathlib costs memory that stays
        file.write(f"{os.getpid()}\n")
    try:
        main()
    finally:
        with suppress(OSError):  # by then the number may be another's
            os.unlink(NUMBER)  # noqa: PTH108 - pathlib costs memory that stays
