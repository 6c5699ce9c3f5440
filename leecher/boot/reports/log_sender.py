"""Hands what a node's kernel and programs say to the seeder, as they say it, from a thread of its own.

Nothing waits for it: it begins once the boot is under way, goes at the pace of `leecher.policy.log_pace`, over a
connection that is idle, and what the seeder cannot take now stays where it is: in the kernel's own ring.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from random import Random

from leecher.machine import console
from leecher.machine.kernel_log import KERNEL_FACILITY, KernelLog, Record
from leecher.origin.connection_pool import Connections
from leecher.origin.small_request import SmallRequest
from leecher.policy.log_pace import EVERY_S, LogPace
from leecher.swarm.counters import BootCounters
from swarmboot.codec import DecodeError
from swarmboot.crypto.fleet_token import Prover
from swarmboot.errors import OriginError, ProofRefusedError, TransferError
from swarmboot.ids import NodeId, NodeKey
from swarmboot.wire.announce import WIRE_TYPE
from swarmboot.wire.node_log import (
    LOG_PATH,
    TAKEN_MAX_BYTES,
    TEXT_MAX,
    NodeLines,
    Said,
    decode_taken,
    encode_lines,
)

PREFIX = "swarmboot: "
_INFO, _WARNING = 6, 4
_BATCH_LINES, _BATCH_BYTES, _LINE_BYTES = 400, 32 << 10, 12
_OWN_MAX = 200
_LOOK_S, _ANSWER_S, _LAST_S = 0.25, 5.0, 1.0
_UNKNOWN = (404, 405, 501)
"""What an origin answers that is no seeder, or one of a build before."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """As whom lines are handed in: as the node of the announces, or as one that never announced."""

    node: NodeId
    key: NodeKey
    prover: Prover | None


@dataclass(frozen=True, slots=True)
class LogSource:
    """Where the lines come from: the kernel's log if it can be read, and this program's own unless that has them.

    `note` is called with the number of the last of the kernel's lines that the seeder has.
    """

    kernel: KernelLog | None
    note: Callable[[int], None] = lambda _number: None
    has_own: bool = True


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    severity: int
    source: str
    at_s: float
    number: int = -1


class LogSender:
    """Hands the lines of a source to the seeder at the URL `server`; `speaker` says as whom."""

    def __init__(
        self, server: str, connections: Connections, source: LogSource, speaker: Callable[[], Speaker], random: Random
    ) -> None:
        self._server = server
        self._connections = connections
        self._source = source
        self._speaker = speaker
        self._pace = LogPace(random, now_s=time.monotonic())
        self._own: deque[_Line] = deque(maxlen=_OWN_MAX)
        self._waiting: deque[_Line] = deque()
        self._waiting_since_s = 0.0
        self._lost = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def said(self, text: str) -> None:
        """Take in a line of this program's own, from any thread."""
        self._own.append(_Line(text[:TEXT_MAX], _INFO, "swarmboot", time.monotonic()))

    def begin(self) -> None:
        """Start handing in lines."""
        self._thread.start()

    def stop(self, *, last_s: float = 0.0) -> None:
        """Hand in what is left, for `last_s` at most, and end."""
        self._pace.is_over |= not last_s
        self._stopped.set()
        self._thread.join(last_s)

    def flush(self, within_s: float) -> None:
        """Hand in all that is there, until it is done, something fails or the time is over."""
        end_s = time.monotonic() + within_s
        while (left_s := end_s - time.monotonic()) > 0 and (batch := self._batch()) and self._post(batch, left_s):
            pass

    def _run(self) -> None:
        try:
            while not self._pace.is_over and not self._stopped.wait(max(_LOOK_S, self._pace.due_s - time.monotonic())):
                batch = self._batch()
                if not batch:
                    self._stopped.wait(EVERY_S - _LOOK_S)
                elif self._may_go(time.monotonic()):
                    self._post(batch, _ANSWER_S)
            if not self._pace.is_over:
                self.flush(_LAST_S)
        finally:
            if self._source.kernel is not None:
                self._source.kernel.close()

    def _may_go(self, now_s: float) -> bool:
        """Return whether a connection is idle, or lines have waited for one for long enough."""
        return self._connections.has_idle(self._server) or self._pace.may_dial(self._waiting_since_s, now_s=now_s)

    def _batch(self) -> list[_Line]:
        """Return the lines that are next, as many as one request may hold; they stay until they are taken."""
        if not self._waiting:
            self._waiting_since_s = time.monotonic()
        if len(self._waiting) < _BATCH_LINES:
            self._waiting += self._read()
        batch, size_bytes = list[_Line](), 0
        for line in islice(self._waiting, _BATCH_LINES):
            size_bytes += len(line.text.encode(errors="replace")) + _LINE_BYTES
            if size_bytes > _BATCH_BYTES:
                break
            batch.append(line)
        return batch

    def _read(self) -> Iterator[_Line]:
        while self._own:
            yield self._own.popleft()
        kernel = self._source.kernel
        if kernel is None:
            return
        yield from map(_line_of, kernel.read(_BATCH_LINES))
        if kernel.lost > self._lost:
            text = f"{kernel.lost - self._lost} lines of the kernel's log were overwritten before they could be sent"
            self._lost = kernel.lost
            yield _Line(text, _WARNING, "swarmboot", time.monotonic())

    def _post(self, batch: list[_Line], silent_s: float) -> bool:
        """Hand in lines; return whether the seeder has taken some."""
        now_s = time.monotonic()
        speaker = self._speaker()
        lines = tuple(Said(each.text, each.severity, each.source, max(0.0, now_s - each.at_s)) for each in batch)
        body = encode_lines(NodeLines(speaker.node, lines, speaker.key))
        if not self._pace.may_spend(len(body), now_s=now_s):
            return False
        request = SmallRequest(
            self._connections, f"{self._server}{LOG_PATH}", max_bytes=TAKEN_MAX_BYTES, body=body,
            media_type=WIRE_TYPE, silent_s=silent_s, prover=speaker.prover,
        )  # fmt: skip
        try:
            request.run()
            taken = decode_taken(request.answer)
        except ProofRefusedError:
            self._pace.is_over = True
        except OriginError:
            self._pace.is_over |= request.status in _UNKNOWN
            self._pace.failed(now_s=time.monotonic())
        except (TransferError, DecodeError):
            self._pace.failed(now_s=time.monotonic())
        else:
            self._pace.taken(taken.after_s, now_s=time.monotonic())
            self._drop(taken.lines)
            return taken.lines > 0
        return False

    def _drop(self, count: int) -> None:
        """Forget the first lines, which the seeder has."""
        gone = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        number = max((each.number for each in gone), default=-1)
        if number >= 0:
            with suppress(OSError):
                self._source.note(number)


def _line_of(record: Record) -> _Line:
    """Return a record as a line: the kernel's, swarmboot's own, or another program's."""
    text = record.text[:TEXT_MAX]
    if record.facility == KERNEL_FACILITY:
        return _Line(text, record.severity, "kernel", record.at_s, record.number)
    if text.startswith(PREFIX):
        return _Line(text.removeprefix(PREFIX), _INFO, "swarmboot", record.at_s, record.number)
    return _Line(text, record.severity, "system", record.at_s, record.number)


@contextmanager
def log_sent(
    server: str, counters: BootCounters, connections: Connections | None, source: LogSource | None
) -> Iterator[None]:
    """Hand a boot's lines to its seeder, where it has one that is asked over HTTPS, while the context is open."""
    if connections is None or source is None or not server.startswith("https:"):
        if source is not None and source.kernel is not None:
            source.kernel.close()
        yield
        return

    def speaker() -> Speaker:
        return Speaker(counters.node, counters.key, counters.proving.node(counters.node))

    sender = LogSender(server, connections, source, speaker, Random(counters.node))
    sender.begin()
    try:
        with console.also_to(sender.said) if source.has_own else nullcontext():
            yield
    finally:
        # in the initramfs the kernel's log has these lines too, and the hook or the seed goes on with them
        sender.stop(last_s=_LAST_S if source.has_own else 0.0)
