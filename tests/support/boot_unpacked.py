"""Boots as the initramfs does, whose images are unpacked afterwards: run with `python -m`, settings as flags."""

from __future__ import annotations

# isort: split
from leecher.machine import lean_start  # noqa: F401 - must come first

# isort: split
import sys
from dataclasses import replace

from leecher.boot.start import boot, options_for, process_started_s
from swarmboot.settings import TABLE, build_settings


def main() -> None:
    """Boot once, and end with the error's own status."""
    names = {setting.flag: setting.name for setting in TABLE}
    given = {names[flag]: value for flag, value in zip(sys.argv[1::2], sys.argv[2::2], strict=True)}
    options = options_for(build_settings(given), process_started_s())
    boot(replace(options, is_unpacked=True))


if __name__ == "__main__":
    main()
