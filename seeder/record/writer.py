"""The one thread that writes the history. What is to be written waits in a bounded queue; nobody waits for it.

What cannot be written (the disk is full, the file is broken, the disk is slow) is lost and counted, and one line says
so, and another when writing works again: it costs history, never service.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from seeder.record.policy.boot import Boot
from seeder.record.store import Bounds, Store, put_aside

QUEUE_MAX = 16
PRUNE_EVERY_S = 60.0
CALM_S, CALM_MAX_S = 5.0, 600.0
"""Writing works again when nothing has failed for so long, the longer the oftener it failed: a nearly full disk takes
some batches and not others, which is no news each time."""

_ANEW_S = 60.0
_CLOSE_S = 3.0

Batch = tuple[Mapping[str, Boot | None], frozenset[str]]


class Writer:
    """Writes batches of boots into the folder's store. `lost` counts boots that were not written, `is_failing` says
    that some were lately.

    `tell` takes lines for the log. `take_lost` says once whether something was lost that can be written now.
    """

    def __init__(
        self,
        folder: Path,
        bounds: Bounds,
        *,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lost = 0
        self._folder, self._bounds, self._tell, self._clock = folder, bounds, tell, clock
        self._batches: queue.Queue[Batch | None] = queue.Queue(QUEUE_MAX)
        self._store: Store | None = None
        self.is_failing = False
        self._has_recovered = False
        self._failed_s = 0.0
        self._calm_s = CALM_S
        self._opened_s = -_ANEW_S
        self._pruned_s = 0.0
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def write(self, changed: Mapping[str, Boot | None], current: frozenset[str]) -> None:
        """Have a batch written soon; never waits."""
        try:
            self._batches.put_nowait((changed, current))
        except queue.Full:
            self._lose(len(changed), "the disk does not keep up")

    def take_recovered(self) -> bool:
        """Return, once, whether writing works again after something was lost."""
        recovered, self._has_recovered = self._has_recovered, False
        return recovered

    def close(self) -> None:
        """Write what waits, for a few seconds at most."""
        try:
            self._batches.put(None, timeout=_CLOSE_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._write(*batch)
        if self._store is not None:
            self._store.close()

    def _write(self, changed: Mapping[str, Boot | None], current: frozenset[str]) -> None:
        try:
            store = self._open()
            store.write(changed, current)
            if abs(self._clock() - self._pruned_s) >= PRUNE_EVERY_S:
                self._pruned_s = self._clock()
                store.prune(self._pruned_s)
        except (sqlite3.Error, OSError) as error:
            self._failed(error, len(changed))
        else:
            if self.is_failing and abs(self._clock() - self._failed_s) >= self._calm_s:
                self.is_failing, self._has_recovered = False, True
                self._calm_s = min(CALM_MAX_S, 2 * self._calm_s)
                self._tell(f"the history is being written again; {self.lost} records were lost on the way")

    def _open(self) -> Store:
        if self._store is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._store = Store(self._folder, self._bounds)
        return self._store

    def _failed(self, error: sqlite3.Error | OSError, count: int) -> None:
        """Count what is lost, and begin another file in the place of one that is broken."""
        if self._store is not None:
            self._store.close()
            self._store = None
        self._lose(count, str(error))
        is_broken = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        now_s = self._clock()
        if is_broken and abs(now_s - self._opened_s) >= _ANEW_S:
            self._opened_s = now_s
            try:
                aside = put_aside(self._folder, now_s)
            except OSError:
                return  # as broken as before, and it was said
            if aside is not None:
                self._tell(f"the broken history was put aside as {aside}; another is begun")

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        self._failed_s = self._clock()
        if not self.is_failing:
            self.is_failing = True
            self._tell(f"the history cannot be written: {why}; boots are served as before, their records are lost")
