"""The kernel's log as records: Documentation/ABI/testing/dev-kmsg. `parse_records` is pure; `KernelLog` reads.

The kernel keeps its last lines in a ring of its own, numbered, for whoever asks later: so nothing is kept here, and a
program that begins where another has ended needs the last one's number alone. What was overwritten before it was read
shows in the numbers and is counted.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KMSG = Path("/dev/kmsg")
RECORD_MAX_BYTES = 8192
"""A reader with less room than a record is given none at all."""

KERNEL_FACILITY = 0
_DEBUG = 7
_RECORD = re.compile(r"([0-9]{1,10}),([0-9]{1,20}),([0-9]{1,20})(?:,[^;]*)?;(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number, when (seconds on the monotonic clock), who (RFC 5424's facility), how much it matters.

    Characters that are not printable, and `\\`, come escaped from the kernel (`\\x1b`) and stay so.
    """

    number: int
    at_s: float
    facility: int
    severity: int
    text: str


def parse_records(data: bytes) -> list[Record]:
    """Return the records in what was read, passing over lines that are none.

    A line that begins with a blank goes on with the record before it, as a dictionary, and is left out; so are fields
    that are not known.
    """
    found = (_RECORD.fullmatch(line) for line in data.decode("utf-8", "replace").split("\n"))
    return [
        Record(int(each[2]), int(each[3]) / 1e6, int(each[1]) >> 3, int(each[1]) & 7, each[4]) for each in found if each
    ]


class KernelLog:
    """Reads records after number `after` from a descriptor, which it closes at the end.

    `lost` counts those that were overwritten before they were read, `last` is the number of the last that was.
    """

    def __init__(self, descriptor: int, *, after: int = -1) -> None:
        self.lost = 0
        self.last = after
        self._descriptor = descriptor
        self._rest = b""
        self._is_over = False
        os.set_blocking(descriptor, False)

    def read(self, most: int) -> list[Record]:
        """Return records that are there by now, not many more than `most` at most; never waits, never raises."""
        records: list[Record] = []
        while len(records) < most and not self._is_over:
            try:
                data = self._rest + os.read(self._descriptor, RECORD_MAX_BYTES)
            except BlockingIOError:
                break
            except BrokenPipeError:  # some were overwritten; the next read goes on after them
                continue
            except OSError:
                self._is_over = True
                break
            if data == self._rest:  # the end of a file that may grow
                break
            whole, _, self._rest = data.rpartition(b"\n")
            self._rest = self._rest[:RECORD_MAX_BYTES]
            records += self._new(parse_records(whole))
        return records

    def _new(self, records: list[Record]) -> list[Record]:
        new = [each for each in records if each.number > self.last]
        for each in new:
            self.lost += each.number - self.last - 1
            self.last = each.number
        return new

    def close(self) -> None:
        """Close the descriptor, once: its number may be another's by then."""
        self._is_over = True
        descriptor, self._descriptor = self._descriptor, -1
        with suppress(OSError):
            os.close(descriptor)


def open_kernel_log(path: Path, *, after: int = -1) -> KernelLog | None:
    """Return the log at a path, None where it cannot be read, as by a user who may not."""
    try:
        return KernelLog(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), after=after)
    except OSError:
        return None


def write_line(path: Path, text: str) -> None:
    """Add a line to the kernel's log, of a level that its consoles do not show; nothing where that cannot be done."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"<{_DEBUG}>{text}\n".encode(errors="replace")[:RECORD_MAX_BYTES])
        finally:
            os.close(descriptor)
