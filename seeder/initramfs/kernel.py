"""What a kernel says of itself: for which machine, which version, how much memory, and whether loaders take it.

Follows the kernel's Documentation/arch/x86/boot.rst and arch/arm64/booting.rst, and the PE format. Raises ReleaseError
for what no loader of a diskless machine takes. It judges nothing else.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from seeder.initramfs.compressed import compression_of, decompressed
from swarmboot.archive import Stream
from swarmboot.errors import ReleaseError

_HEAD_BYTES = 1 << 16
_IMAGE_MAX_BYTES = 1 << 28
_BANNER = b"Linux version "
_PE_MACHINES = {
    0x8664: "x86-64", 0x14C: "x86", 0xAA64: "arm64", 0x1C2: "arm", 0x1C0: "arm", 0x5064: "riscv", 0x6264: "loongarch",
}  # fmt: skip
_KNOWN = {b"\x7fELF": "an ELF file (vmlinux?)", b"MZ": "an EFI program without a machine that is known"}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel. `machine` is as in `seeder.program`, `version` empty where it cannot be told.

    `compression` is set for one that is packed as a whole; `memory_bytes` is what it takes once it runs.
    """

    machine: str
    version: str = ""
    compression: str = ""
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """Where a section of a PE file is."""

    start: int
    size_bytes: int


def read_kernel(path: Path, *, label: str, start: int = 0) -> Kernel:
    """Return what the kernel in a file, from `start` on, says of itself; raise as the module says."""
    with path.open("rb") as file:
        file.seek(start)
        head = file.read(_HEAD_BYTES)
        kind = compression_of(head)
        if kind:
            file.seek(start)
            with decompressed(Stream(file, label), kind, label=label) as inner:
                image = _read_most(inner)
            kernel = _kernel_of(image, image, label=label)
            return Kernel(kernel.machine, kernel.version, kind, kernel.memory_bytes or len(image))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            return _kernel_of(head, whole, label=label)


def machine_of(path: Path) -> str:
    """Return for which machine the kernel in a file says it is, as in `seeder.program`; empty if that is not known."""
    try:
        return read_kernel(path, label=path.name).machine
    except (ReleaseError, OSError, ValueError):  # no kernel, no file, an empty one (mmap(2))
        return ""


def _read_most(file: object) -> bytes:
    parts, left = [], _IMAGE_MAX_BYTES
    while left and (part := file.read(min(left, 1 << 20))):  # type: ignore[attr-defined]
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _kernel_of(head: bytes, whole: bytes | mmap.mmap, *, label: str) -> Kernel:
    if head[0x202:0x206] == b"HdrS" and len(head) > 0x264:
        (flags,) = struct.unpack_from("<H", head, 0x236)
        (memory,) = struct.unpack_from("<I", head, 0x260)
        return Kernel("x86-64" if flags & 1 else "x86", kernel_version(head).partition(" ")[0], memory_bytes=memory)
    if head[0x38:0x3C] in (b"ARM\x64", b"RSC\x05"):
        (memory,) = struct.unpack_from("<Q", head, 0x10)
        machine = "arm64" if head[0x38:0x3B] == b"ARM" else "riscv"
        return Kernel(machine, _banner_version(whole), memory_bytes=memory)
    if head[0x24:0x28] == b"\x18\x28\x6f\x01":
        return Kernel("arm")
    if machine := pe_machine(head):
        return Kernel(machine)
    known = next((what for magic, what in _KNOWN.items() if head.startswith(magic)), "")
    raise ReleaseError(
        f"{label} is no kernel that a machine can load",
        expected="a bzImage, an arm64 or riscv Image, or an EFI program",
        found=known or f"a file that begins with {head[:8].hex()}",
        hint="copy the distribution's /boot/vmlinuz-VERSION",
    )


def kernel_version(head: bytes) -> str:
    """Return what an x86 kernel says of itself, from its first 64 KiB; nothing for other kinds.

    Follows the kernel's Documentation/arch/x86/boot.rst: "HdrS" at 0x202, kernel_version at 0x20e.
    """
    if head[0x202:0x206] != b"HdrS" or len(head) < 0x210:
        return ""
    (offset,) = struct.unpack_from("<H", head, 0x20E)
    text = head[offset + 0x200 :].split(b"\0", 1)[0][:255] if offset else b""
    return text.decode("ascii", errors="replace")


def _banner_version(whole: bytes | mmap.mmap) -> str:
    """Return the version in `linux_banner`, which an uncompressed kernel holds; nothing if it is not there."""
    at = whole.find(_BANNER)
    text = bytes(whole[at + len(_BANNER) : at + len(_BANNER) + 128]) if at >= 0 else b""
    return text.split(b" ", 1)[0].decode("ascii", errors="replace")


def pe_machine(head: bytes) -> str:
    """Return for which machine a PE file is, nothing if it is none or of a machine that is not known."""
    at = _pe_start(head)
    return _PE_MACHINES.get(struct.unpack_from("<H", head, at + 4)[0], "") if at else ""


def pe_sections(head: bytes) -> dict[str, Section]:
    """Return the sections of a PE file by name, from its first 64 KiB."""
    at = _pe_start(head)
    if not at:
        return {}
    count, optional = struct.unpack_from("<H", head, at + 6)[0], struct.unpack_from("<H", head, at + 20)[0]
    entries = (head[at + 24 + optional + 40 * number :][:40] for number in range(count))
    return {
        entry[:8].rstrip(b"\0").decode("ascii", errors="replace"): _section(entry)
        for entry in entries
        if len(entry) == 40
    }


def _section(entry: bytes) -> Section:
    virtual, _, raw, start = struct.unpack_from("<IIII", entry, 8)
    return Section(start, min(virtual, raw) if virtual else raw)


def _pe_start(head: bytes) -> int:
    if head[:2] != b"MZ" or len(head) < 0x40:
        return 0
    (at,) = struct.unpack_from("<I", head, 0x3C)
    return int(at) if 0 < at <= len(head) - 24 and head[at : at + 4] == b"PE\0\0" else 0


def read_sections(path: Path) -> dict[str, Section]:
    """Return the sections of a PE file."""
    with path.open("rb") as file:
        return pe_sections(file.read(_HEAD_BYTES))
