"""Reads what an initramfs holds that its boot depends on.

Raises ReleaseError for one that the kernel could not unpack, ResourceError where this machine lacks the program to look
into it. It judges nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from seeder.hook.fit import machine_of_libraries
from seeder.initramfs.archives import initramfs_entries
from seeder.initramfs.choice import why_out
from seeder.initramfs.groups import RUNTIME, kernel_of, module_of, name_of
from seeder.publish.check.readers.bounds import RUNTIME_MAX_BYTES, Bounds
from seeder.publish.check.readers.images import list_squashfs
from seeder.publish.images.unpacked_size import Counted
from swarmboot.archive import Entry
from swarmboot.errors import ReleaseError, ResourceError

HOOK = "usr/lib/swarmboot/driver.sh"
_LIBRARIES = "usr/lib/swarmboot/runtime.libraries"
_KEYS, _DEFAULTS, _TOKEN = (f"etc/swarmboot/{name}" for name in ("fleet.pub", "defaults", "fleet.token"))
_BUILT_IN = "/modules.builtin"
_TEXT_MAX_BYTES = 1 << 18
_PAGE_BYTES = 4096
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Initramfs:
    """What an initramfs holds. `modules` are the kernel versions of its modules, `unpacked_bytes` what it takes in RAM.

    `keys` and `defaults` are the texts of what the hook was built with; `runtime_bytes` the size of its leecher, and
    `runtime_machine` for which machine that is, empty where it cannot be told; `has_zstd` whether it can unpack
    zstd, None where it could not be told. `drivers` are its modules, and those built into its kernel, by name.
    """

    modules: frozenset[str] = frozenset()
    has_hook: bool = False
    has_token: bool = False
    keys: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)
    unpacked_bytes: int = 0
    runtime_bytes: int = 0
    runtime_machine: str = ""
    has_zstd: bool | None = None
    spare_bytes: Mapping[str, int] = field(default_factory=dict)
    drivers: frozenset[str] = frozenset()


class _Reader:
    def __init__(self, runtime: IO[bytes], bounds: Bounds) -> None:
        self.runtime = runtime
        self.bounds = bounds
        self.sizes: dict[str, int] = {}
        self.texts: dict[str, str] = {}

    def take(self, entries: Iterable[Entry]) -> None:
        """Remember what is asked for of some entries; a later one of the same name replaces an earlier."""
        for entry in entries:
            self.bounds.look()
            self.bounds.keep(entry.name)
            self.sizes[entry.name] = -(-entry.size_bytes // _PAGE_BYTES) * _PAGE_BYTES
            is_text = entry.name in (_KEYS, _DEFAULTS, _LIBRARIES) or entry.name.endswith(_BUILT_IN)
            if is_text and entry.read is not None:
                self.texts[entry.name] = entry.read(_TEXT_MAX_BYTES).decode(errors="replace")
            elif entry.name == RUNTIME and entry.read is not None:
                self._keep(entry.read)

    def _keep(self, read: Callable[[int], bytes]) -> None:
        """Keep the leecher's image to look into it, or nothing of one that is far too large."""
        self.runtime.seek(0)
        self.runtime.truncate()
        while data := read(_CHUNK_BYTES):
            self.runtime.write(data)
            if self.runtime.tell() > RUNTIME_MAX_BYTES:
                self.runtime.seek(0)
                self.runtime.truncate()
                break
        self.runtime.flush()

    def found(self) -> Initramfs:
        """Return what was found."""
        pairs = (line.split("=", 1) for line in self.texts.get(_DEFAULTS, "").splitlines() if line[:1] != "#")
        return Initramfs(
            modules=frozenset(kernel for name in self.sizes if (kernel := kernel_of(name))),
            has_hook=HOOK in self.sizes,
            has_token=_TOKEN in self.sizes,
            keys=self.texts.get(_KEYS, ""),
            defaults={pair[0]: pair[1] for pair in pairs if len(pair) == 2},
            unpacked_bytes=sum(self.sizes.values()),
            runtime_bytes=self.sizes.get(RUNTIME, 0),
            runtime_machine=machine_of_libraries(self.texts.get(_LIBRARIES, "").split()) or "",
            has_zstd=_has_zstd(self.runtime) if self.sizes.get(RUNTIME) else None,
            spare_bytes=self._spare(),
            drivers=self._drivers(),
        )

    def _drivers(self) -> frozenset[str]:
        lists = (text.split() for name, text in self.texts.items() if name.endswith(_BUILT_IN))
        built_in = (name_of(line.removesuffix(".ko")) for lines in lists for line in lines)
        return frozenset(built_in).union(name_of(module_of(name)) for name in self.sizes) - {""}

    def _spare(self) -> dict[str, int]:
        spare: Counter[str] = Counter()
        for name, size_bytes in self.sizes.items():
            module = module_of(name)
            if module and (word := why_out(module)):
                spare[word] += size_bytes
        return dict(spare.most_common())


def _has_zstd(runtime: IO[bytes]) -> bool | None:
    path = Path(f"/proc/{os.getpid()}/fd/{runtime.fileno()}")
    try:
        return "usr/bin/zstd" in list_squashfs(path, label=RUNTIME)
    except (ReleaseError, ResourceError):
        return None


def read_initramfs(path: Path, *, label: str, start: int = 0, size_bytes: int | None = None) -> Initramfs:
    """Return what the initramfs in a file, or in a part of it, holds; raise as the module says."""
    with tempfile.TemporaryFile() as runtime:
        reader = _Reader(runtime, Bounds(label))
        entries = initramfs_entries(path, label=label, start=start, size_bytes=size_bytes, watched=_counted)
        reader.take(entry for _, entry in entries)
        return reader.found()


def _counted(file: IO[bytes], label: str) -> IO[bytes]:
    return Counted(file, label)  # type: ignore[return-value]
