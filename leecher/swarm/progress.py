"""What a boot shows while it runs: a line that fills, plain lines, JSON lines, or nothing; and metrics for scraping."""

from __future__ import annotations

import json
import math
import sys
import time

from leecher.swarm.counters import Ledger
from leecher.swarm.fetcher import Fetching
from swarmboot.units import format_duration, format_size

_EVERY_S = {"bar": 0.2, "json": 0.5, "plain": 2.0}
_BAR_CELLS = 30


class Progress:
    """Shows one boot's progress on standard output."""

    def __init__(self, kind: str, ledger: Ledger, fetching: Fetching) -> None:
        self._kind = ("bar" if sys.stdout.isatty() else "plain") if kind == "auto" else kind
        self._every_s = _EVERY_S.get(self._kind, math.inf)
        self._due_s = time.monotonic() + self._every_s
        self._ledger = ledger
        self._fetching = fetching

    def show(self) -> float:
        """Show how far the boot is, if it is time to; return for how many seconds there is nothing to show."""
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._ledger.from_neighbours_bytes = self._fetching.received_bytes()
            self._show("complete" if self._ledger.is_complete else "fetching")
            self._due_s = now_s + self._every_s
        return self._due_s - now_s

    def finish(self) -> None:
        """Show that the boot is complete."""
        self._ledger.from_neighbours_bytes = self._fetching.received_bytes()
        self._ledger.is_complete = True
        self._show("complete")
        if self._kind == "bar":
            print(flush=True)

    def _show(self, state: str) -> None:
        ledger = self._ledger
        if self._kind == "json":
            print(json.dumps(_facts(ledger, state)), flush=True)
        elif self._kind == "plain" and (state == "fetching" or not ledger.is_told):
            print(_line(ledger), flush=True)
        elif self._kind == "bar" and not ledger.is_told:
            share = ledger.have_bytes / max(1, ledger.total_bytes)
            cells = round(share * _BAR_CELLS)
            print(f"\r[{'#' * cells:-<{_BAR_CELLS}}] {_line(ledger)}\033[K", end="", flush=True)
        ledger.is_told = state == "complete"


def _facts(ledger: Ledger, state: str) -> dict[str, object]:
    return {
        "state": state,
        "have_bytes": ledger.have_bytes,
        "total_bytes": ledger.total_bytes,
        "from_neighbours": ledger.from_neighbours_bytes,
        "from_origin": ledger.from_origin_bytes,
    }


def _line(ledger: Ledger) -> str:
    return (
        f"{format_size(ledger.have_bytes)} of {format_size(ledger.total_bytes)} after "
        f"{format_duration(ledger.elapsed_s)}: {format_size(ledger.from_neighbours_bytes)} from neighbours, "
        f"{format_size(ledger.from_origin_bytes)} from the origin"
    )


def metrics(ledger: Ledger) -> str:
    """Return the boot's counters in Prometheus's text format, version 0.0.4."""
    rows = [
        ("bytes_total", 'source="neighbours"', ledger.from_neighbours_bytes),
        ("bytes_total", 'source="origin"', ledger.from_origin_bytes),
        ("hash_failures_total", "", ledger.hash_failures),
        ("rescues_total", "", ledger.rescues),
        ("complete", "", int(ledger.is_complete)),
        ("manifest", "", ledger.sequence),
    ]
    return "".join(
        f"swarmboot_{name}{{{labels}}} {value}\n" if labels else f"swarmboot_{name} {value}\n"
        for name, labels, value in rows
    )
