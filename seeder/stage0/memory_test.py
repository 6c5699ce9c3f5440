"""The memory test that boot menus offer: Memtest86+ as Debian installs it, or one that lies beside iPXE's binaries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from seeder.boot_script.grammar import CommandLine
from seeder.boot_script.menu import MEMTEST_BIOS, MEMTEST_EFI, MemoryTest
from swarmboot.ids import Digest

_BOOT = Path("/boot")
_NAMES = {MEMTEST_EFI: ("memtest86+x64.efi", "memtest.efi"), MEMTEST_BIOS: ("memtest86+x64.bin", "memtest.bin")}


@dataclass(frozen=True, slots=True)
class MemoryTestFiles:
    """Its files by the path at which this server has them, and their digests as they were at the start."""

    files: tuple[tuple[str, Path, Digest], ...] = ()

    def file(self, at: str) -> Path | None:
        """Return the file that is served at a path."""
        return next((path for served_at, path, _ in self.files if served_at == at), None)

    def told(self, cmdline: str) -> MemoryTest:
        """Return what menus say of it; it is told the serial console of a kernel with this command line."""
        digests = {served_at: digest for served_at, _, digest in self.files}
        consoles = tuple(word for word in cmdline.split() if word.startswith("console=ttyS"))
        return MemoryTest(digests.get(MEMTEST_EFI), digests.get(MEMTEST_BIOS), CommandLine(consoles[:1]))


def find_memory_test(*folders: Path) -> MemoryTestFiles:
    """Return the memory test in these folders and in /boot, the first that is found; raises OSError."""
    found = []
    for served_at, names in _NAMES.items():
        paths = (folder / name for folder in (*folders, _BOOT) for name in names)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            found.append((served_at, path, Digest(hashlib.sha256(path.read_bytes()).digest())))
    return MemoryTestFiles(tuple(found))
