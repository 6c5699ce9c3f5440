"""What a program says of itself in its first bytes: for which machine it is, and what the kernel starts to run it.

Follows the System V ABI's ELF header and program headers (elf(5)), and execve(2) for scripts. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEAD_BYTES = 1 << 16
"""How much of a program is looked at: its program headers and, but for odd linkers, its interpreter's name."""

_MACHINES = {3: "x86", 40: "arm", 62: "x86-64", 183: "arm64", 243: "riscv", 258: "loongarch"}
_PT_INTERP = 3
_PATH_BYTES = 4096
"""The longest name of an interpreter that the kernel takes (PATH_MAX)."""
_LINE_BYTES = 256
"""What the kernel reads of a script's first line (BINPRM_BUF_SIZE)."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program. `machine` is empty for a script, `interpreter` for a program that is started by itself."""

    machine: str = ""
    interpreter: str = ""


def parse_program(head: bytes) -> Program | None:
    """Return what a program's first bytes say; None if the kernel could not start it."""
    if head[:2] == b"#!":
        words = head[2:_LINE_BYTES].split(b"\n", 1)[0].split()
        return Program(interpreter=words[0].decode(errors="surrogateescape")) if words else None
    return _parse_elf(head) if head[:4] == b"\x7fELF" else None


def _parse_elf(head: bytes) -> Program | None:
    if len(head) < 64 or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    order, is_wide = "<" if head[5] == 1 else ">", head[4] == 2
    (machine,) = struct.unpack_from(f"{order}H", head, 18)
    (start,) = struct.unpack_from(f"{order}{'Q' if is_wide else 'I'}", head, 32 if is_wide else 28)
    size, count = struct.unpack_from(f"{order}HH", head, 54 if is_wide else 42)
    name, entry_bytes = _MACHINES.get(machine, f"machine {machine}"), 56 if is_wide else 32
    if count and (size != entry_bytes or count * size > HEAD_BYTES):  # as load_elf_phdrs() in fs/binfmt_elf.c
        return None
    for number in range(count):
        at = start + number * size
        entry = head[at : at + size]
        if len(entry) < size:
            break
        if struct.unpack_from(f"{order}I", entry)[0] == _PT_INTERP:
            at, length = (
                (struct.unpack_from(f"{order}Q", entry, 8)[0], struct.unpack_from(f"{order}Q", entry, 32)[0])
                if is_wide
                else (struct.unpack_from(f"{order}I", entry, 4)[0], struct.unpack_from(f"{order}I", entry, 16)[0])
            )
            if length > _PATH_BYTES:
                return None
            raw = head[at : at + length].split(b"\0", 1)[0]
            return Program(name, raw.decode(errors="surrogateescape"))
    return Program(name)
