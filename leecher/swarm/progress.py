"""What a boot shows while it runs: a line that fills, plain lines, JSON lines, or nothing; and metrics for scraping."""

from __future__ import annotations

import json
import math
import sys
import time

from leecher.swarm.counters import BootCounters
from leecher.swarm.fetcher import Fetcher
from swarmboot.text.units import format_duration, format_size

_EVERY_S = {"bar": 0.2, "json": 0.5, "plain": 2.0}
_BAR_CELLS = 30


class Progress:
    """Shows one boot's progress on standard output."""

    def __init__(self, kind: str, counters: BootCounters, fetcher: Fetcher) -> None:
        self._kind = ("bar" if sys.stdout.isatty() else "plain") if kind == "auto" else kind
        self._every_s = _EVERY_S.get(self._kind, math.inf)
        self._due_s = time.monotonic() + self._every_s
        self._counters = counters
        self._fetcher = fetcher

    def show(self) -> float:
        """Show how far the boot is, if it is time to; return for how many seconds there is nothing to show."""
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._counters.from_neighbours_bytes = self._fetcher.received_bytes()
            self._show("complete" if self._counters.is_complete else "fetching")
            self._due_s = now_s + self._every_s
        return self._due_s - now_s

    def finish(self) -> None:
        """Show that the boot is complete."""
        self._counters.from_neighbours_bytes = self._fetcher.received_bytes()
        self._counters.is_complete = True
        self._show("complete")
        if self._kind == "bar":
            print(flush=True)

    def _show(self, state: str) -> None:
        counters = self._counters
        if self._kind == "json":
            print(json.dumps(_facts(counters, state)), flush=True)
        elif self._kind == "plain" and (state == "fetching" or not counters.is_told):
            print(_line(counters), flush=True)
        elif self._kind == "bar" and not counters.is_told:
            share = counters.have_bytes / max(1, counters.total_bytes)
            cells = round(share * _BAR_CELLS)
            print(f"\r[{'#' * cells:-<{_BAR_CELLS}}] {_line(counters)}\033[K", end="", flush=True)
        counters.is_told = state == "complete"


def _facts(counters: BootCounters, state: str) -> dict[str, object]:
    return {
        "state": state,
        "have_bytes": counters.have_bytes,
        "total_bytes": counters.total_bytes,
        "from_neighbours": counters.from_neighbours_bytes,
        "from_origin": counters.from_origin_bytes,
        **({"from_cache": counters.from_cache_bytes} if counters.has_cache else {}),
    }


def _line(counters: BootCounters) -> str:
    cached = f", {format_size(counters.from_cache_bytes)} from the cache" if counters.has_cache else ""
    return (
        f"{format_size(counters.have_bytes)} of {format_size(counters.total_bytes)} after "
        f"{format_duration(counters.elapsed_s)}: {format_size(counters.from_neighbours_bytes)} from neighbours, "
        f"{format_size(counters.from_origin_bytes)} from the origin{cached}"
    )


def metrics(counters: BootCounters) -> str:
    """Return the boot's counters in Prometheus's text format, version 0.0.4."""
    received = counters.bytes_from.items()
    families = (
        (
            "bytes_total",
            "counter",
            "Bytes received, by source.",
            tuple((f'{{source="{name}"}}', n) for name, n in received),
        ),
        ("hash_failures_total", "counter", "Pieces that were corrupt.", (("", counters.hash_failures),)),
        (
            "rescues_total",
            "counter",
            "Pieces fetched from an origin for want of neighbours.",
            (("", counters.rescues),),
        ),
        ("complete", "gauge", "1 once all images are there.", (("", int(counters.is_complete)),)),
        ("manifest", "gauge", "Number of the manifest that is booted.", (("", counters.sequence),)),
    )
    return "".join(
        f"# HELP swarmboot_{name} {text}\n# TYPE swarmboot_{name} {kind}\n"
        + "".join(f"swarmboot_{name}{labels} {value}\n" for labels, value in rows)
        for name, kind, text, rows in families
    )
