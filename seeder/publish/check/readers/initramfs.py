"""Reads what an initramfs holds: archives behind one another, compressed or not, as the kernel takes them.

Follows the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Raises ReleaseError for one that the
kernel could not unpack, ResourceError where this machine lacks the program to look into it. It judges nothing.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from seeder.hook.fit import machine_of_libraries
from seeder.publish.check.readers.bounds import RUNTIME_MAX_BYTES, Bounds
from seeder.publish.check.readers.compressed import compression_of, decompressed
from seeder.publish.check.readers.images import list_squashfs
from seeder.publish.unpacked_size import Counted
from swarmboot.archive import Entry, Stream, cpio_entries, one_cpio
from swarmboot.errors import ReleaseError, ResourceError

HOOK = "usr/lib/swarmboot/driver.sh"
_RUNTIME = "usr/lib/swarmboot/runtime.squashfs"
_LIBRARIES = "usr/lib/swarmboot/runtime.libraries"
_KEYS, _DEFAULTS, _TOKEN = (f"etc/swarmboot/{name}" for name in ("fleet.pub", "defaults", "fleet.token"))
_MODULE = re.compile(r"(?:usr/)?lib/modules/([^/]+)/.*\.ko(?:\.\w+)?\Z")
_TEXT_MAX_BYTES = 1 << 16
_PAGE_BYTES = 4096
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Initramfs:
    """What an initramfs holds. `modules` are the kernel versions of its modules, `unpacked_bytes` what it takes in RAM.

    `keys` and `defaults` are the texts of what the hook was built with; `runtime_bytes` the size of its leecher, and
    `runtime_machine` for which machine that is, empty where it cannot be told; `has_zstd` whether it can unpack
    zstd, None where it could not be told.
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


class _Part:
    """A part of a file, read forward."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file = file
        self._left_bytes = size_bytes

    def read(self, size_bytes: int) -> bytes:
        data = self._file.read(min(size_bytes, self._left_bytes))
        self._left_bytes -= len(data)
        return data


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
            if entry.name in (_KEYS, _DEFAULTS, _LIBRARIES) and entry.read is not None:
                self.texts[entry.name] = entry.read(_TEXT_MAX_BYTES).decode(errors="replace")
            elif entry.name == _RUNTIME and entry.read is not None:
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
        modules = (_MODULE.match(name) for name in self.sizes)
        pairs = (line.split("=", 1) for line in self.texts.get(_DEFAULTS, "").splitlines() if line[:1] != "#")
        return Initramfs(
            modules=frozenset(match[1] for match in modules if match),
            has_hook=HOOK in self.sizes,
            has_token=_TOKEN in self.sizes,
            keys=self.texts.get(_KEYS, ""),
            defaults={pair[0]: pair[1] for pair in pairs if len(pair) == 2},
            unpacked_bytes=sum(self.sizes.values()),
            runtime_bytes=self.sizes.get(_RUNTIME, 0),
            runtime_machine=machine_of_libraries(self.texts.get(_LIBRARIES, "").split()) or "",
            has_zstd=_has_zstd(self.runtime) if self.sizes.get(_RUNTIME) else None,
        )


def _has_zstd(runtime: IO[bytes]) -> bool | None:
    path = Path(f"/proc/{os.getpid()}/fd/{runtime.fileno()}")
    try:
        return "usr/bin/zstd" in list_squashfs(path, label=_RUNTIME)
    except (ReleaseError, ResourceError):
        return None


def read_initramfs(path: Path, *, label: str, start: int = 0, size_bytes: int | None = None) -> Initramfs:
    """Return what the initramfs in a file, or in a part of it, holds; raise as the module says."""
    with path.open("rb") as file, tempfile.TemporaryFile() as runtime:
        reader = _Reader(runtime, Bounds(label))
        file.seek(start)
        part = _Part(file, path.stat().st_size - start if size_bytes is None else size_bytes)
        stream = Stream(part, label)  # type: ignore[arg-type]
        while stream.pass_over_zeros():
            head = stream.some(6)
            stream.put_back(head)
            kind = compression_of(head)
            if kind:
                with decompressed(stream, kind, label=label) as inner:
                    reader.take(cpio_entries(Counted(inner, label), name=label))  # type: ignore[arg-type]
            elif head.startswith(b"0707") and not stream.position_bytes % 4:
                reader.take(one_cpio(stream, label))
            else:
                raise ReleaseError(
                    f"{label} cannot be unpacked",
                    expected="cpio archives, each compressed or not, uncompressed ones at a multiple of four bytes",
                    found=f"{head.hex()} at byte {stream.position_bytes}",
                    hint="build it again",
                )
        return reader.found()
