"""The seeder's log, the one place that writes it: a line an event, to standard output.

What a line holds may come from anybody on the network, so everything in it that is not printable is written as an
escape (`swarmboot.printable`), and a line is cut at a bound. What one source of outside lines may add is
bounded, and so is what all of them may add together; how many lines were left out is said once a minute.

Each line begins with its time (UTC) and its level, or is one JSON object of time, level and message; `bare` lines have
neither, for whoever adds both himself. `Log.tell` never raises and never waits: a thread of its own writes, and lines
that find its queue full or that cannot be written (the disk is full, the reader has gone) are counted and told when
writing works again. It will not rotate files; a service manager does.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import select
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from seeder.token_bucket import TokenBucket
from swarmboot.printable import printable

LINE_MAX = 2048
OUTSIDE_LINE_MAX = 480
"""How many characters a line may have, and how many of them if an outside source caused it."""

QUEUE_MAX = 4096
SUMMARY_S = 60.0
_POLL_MS = 1000
_CLOSE_S = 1.0


def plain(text: str, *, most: int = LINE_MAX) -> str:
    """Return `text` as one printable line of at most `most` characters, everything else in it escaped."""
    shown = printable(text if len(text) <= most else f"{text[: most - 3]}...")
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


class Format(StrEnum):
    """How a line is written."""

    TEXT = "text"
    JSON = "json"
    BARE = "bare"


class Level(StrEnum):
    """How much a line matters: nothing to do, somebody may have to look, or this service does not do its work."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def formatted(text: str, *, level: Level, now_unix_s: float, form: Format) -> str:
    """Return a line as it is written; `text` is printable already."""
    if form is Format.BARE:
        return text
    when = datetime.fromtimestamp(now_unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if form is Format.JSON:
        return json.dumps({"time": when, "level": level.value, "message": text})
    return f"{when} {level.value:<7} {text}"


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How many lines one outside source may cause at once and then a second, and all of them together.

    A rack of a thousand behind one address reports whole; a flood of years fills a disk at 4 lines a second, 170 MB a
    day at the most. `sources_most` are told apart.
    """

    burst: float = 1000.0
    lines_per_s: float = 1.0
    all_burst: float = 4000.0
    all_lines_per_s: float = 4.0
    sources_most: int = 1024


@dataclass(slots=True)
class Quota:
    """Decides which outside lines are written and counts the others; it is told the time."""

    limits: LogLimits = field(default_factory=LogLimits)
    left_out: Counter[str] = field(default_factory=Counter)
    _all: TokenBucket | None = None
    _sources: dict[str, TokenBucket] = field(default_factory=dict)
    _told_s: float = 0.0

    def admits(self, source: str, now_s: float) -> bool:
        """Return whether a line that `source` caused may be written; one that may not is counted."""
        limits = self.limits
        if self._all is None:
            self._all, self._told_s = TokenBucket(limits.all_burst, now_s), now_s
        bucket = self._sources.get(source)
        if bucket is None:
            source = self._room_for(source, now_s)
            bucket = self._sources.setdefault(source, TokenBucket(limits.burst, now_s))
        is_admitted = bucket.take(now_s, per_s=limits.lines_per_s, burst=limits.burst)
        is_admitted = is_admitted and self._all.take(now_s, per_s=limits.all_lines_per_s, burst=limits.all_burst)
        if not is_admitted:
            self.left_out[source] += 1
        return is_admitted

    def _room_for(self, source: str, now_s: float) -> str:
        """Return the name to count a new source under: its own while there is room, else that of all others."""
        if len(self._sources) >= self.limits.sources_most:
            rested_s = self.limits.burst / self.limits.lines_per_s
            self._sources = {name: each for name, each in self._sources.items() if now_s - each.filled_s < rested_s}
        return source if len(self._sources) < self.limits.sources_most else "others"

    def summary(self, now_s: float) -> str:
        """Return what there is to say of lines that were left out; nothing more than once in SUMMARY_S."""
        if not self.left_out or now_s - self._told_s < SUMMARY_S:
            return ""
        self._told_s = now_s
        (worst, most), count = self.left_out.most_common(1)[0], self.left_out.total()
        self.left_out.clear()
        return f"left out of this log: {count} lines that others caused, {most} of them {worst}"


class Records(logging.Handler):
    """Takes what libraries log, and tells it as lines that an outside source caused."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one record."""
        level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARNING
        self._log.tell(f"{record.name}: {record.getMessage()}", source=record.name, level=level)


class Log:
    """Writes lines to a file descriptor, standard output's by default; `write` and `clock` take the place of both."""

    def __init__(
        self,
        descriptor: int = 1,
        *,
        write: Callable[[bytes], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        limits: LogLimits | None = None,
        form: Format = Format.BARE,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._form, self._wall = form, wall
        self._clock = clock
        self._quota = Quota(limits or LogLimits())
        self._write = write or (lambda data: _write_all(descriptor, data))
        self._lines: queue.Queue[str | None] = queue.Queue(QUEUE_MAX)
        self._unqueued = 0
        self._unwritten = 0
        self._unadmitted = 0
        self._writer: threading.Thread | None = None

    @property
    def left_out(self) -> int:
        """Return how many lines were left out so far, for whatever reason."""
        return self._unqueued + self._unwritten + self._unadmitted

    def tell(self, text: str, *, source: str = "", level: Level = Level.INFO) -> None:
        """Write one line; `source` names whoever outside caused it, as in an address, and bounds it."""
        if source:
            now_s = self._clock()
            if not self._quota.admits(source, now_s):
                self._unadmitted += 1
                self.tell_left_out()
                return
            text = plain(text, most=OUTSIDE_LINE_MAX)
        self._put(plain(text), level)

    def tell_left_out(self) -> None:
        """Say how many lines were left out, if some were and that was not said within the last minute."""
        if summary := self._quota.summary(self._clock()):
            self._put(plain(summary), Level.WARNING)

    def _formatted(self, text: str, level: Level) -> str:
        return formatted(text, level=level, now_unix_s=self._wall(), form=self._form)

    def _put(self, text: str, level: Level) -> None:
        line = self._formatted(text, level)
        if self._writer is None:
            self._writer = threading.Thread(target=self._run, name="log", daemon=True)
            self._writer.start()
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._unqueued += 1

    def _run(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            lost = self._unqueued + self._unwritten
            left_out = f"left out of this log: {lost - told} lines that could not be written"
            said = f"\n{self._formatted(left_out, Level.WARNING)}\n" if lost > told else ""
            try:
                self._write(f"{said}{line}\n".encode("utf-8", "backslashreplace"))
            except OSError:
                self._unwritten += 1
            else:
                told = lost

    def close(self) -> None:
        """Write what is left, for a second at most: a reader that has stopped reading is not waited for."""
        if self._writer is None:
            return
        end_s = time.monotonic() + _CLOSE_S
        try:
            self._lines.put(None, timeout=_CLOSE_S)
        except queue.Full:
            return
        self._writer.join(max(0.0, end_s - time.monotonic()))


def _write_all(descriptor: int, data: bytes) -> None:
    """Write `data`, however long that takes; raise OSError if it cannot be written."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # whoever shares this descriptor made it so
            waiting = select.poll()
            waiting.register(descriptor, select.POLLOUT)
            waiting.poll(_POLL_MS)


def keep_standard_streams() -> None:
    """Give standard streams that were closed to /dev/null, lest a socket takes their number and the log goes there."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number (open(2))
