"""What the seeder counts as things happen, in the words of Prometheus: counters and histograms that only grow.

Every label has a fixed set of values, all of which are there from the start, whatever a node says of itself: series
cost a monitoring system memory, and one that appears with its first event hides that event from `increase()`
(https://prometheus.io/docs/practices/instrumentation/). Base units: seconds, bytes. What is so at the moment of a
scrape is `seeder.monitoring.current`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram

from swarmboot import errors
from swarmboot.wire.report import BOOTED, FAILED, PHASES, SOURCES, VERIFIED, BootReport

PHASE_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
"""From a phase that nobody notices to one that a person has gone to look at."""

OUTCOMES = (VERIFIED, BOOTED, FAILED)
OTHER = "other"

REFUSALS = {
    "address": "its address is one that nobody can dial",
    "body": "its body is too large, does not come whole or finds no room",
    "channel": "it asked for a channel that is not there",
    "file": "it asked for a file that is not there",
    "impostor": "it speaks for a node that another began",
    "malformed": "it cannot be read",
    "reader": "it may not read what it asked for",
}
"""Why a request is refused; a label's values."""


def statuses() -> tuple[str, ...]:
    """Return every exit status that a node can fail with, as text, and one for all that is none of them."""

    def below(kind: type[errors.SwarmbootError]) -> Iterator[int]:
        yield kind.exit_status
        for each in kind.__subclasses__():
            yield from below(each)

    return (*map(str, sorted(set(below(errors.SwarmbootError)))), OTHER)


class Meters:
    """The counters and histograms of one running seeder, in `collectors`."""

    def __init__(self) -> None:
        self.collectors = CollectorRegistry(auto_describe=True)
        self.announces = self._counter("announces", "Announces that were answered.")
        self.refused = self._counter("requests_refused", "Requests that were refused, by reason.", reason=REFUSALS)
        self.reports = self._counter("reports", "Boot reports that were believed, by outcome.", outcome=OUTCOMES)
        self.failures = self._counter(
            "boots_failed",
            "Boots that nodes reported as failed, by exit status (docs/monitoring.md).",
            status=statuses(),
        )
        self.received = self._counter(
            "boot_received_bytes", "Bytes that booting nodes reported to have received, by source.", source=SOURCES
        )
        self.rescues = self._counter(
            "boot_rescues", "Pieces that booting nodes fetched from an origin because nobody brought them in time."
        )
        self.corrupt = self._counter("boot_corrupt_pieces", "Pieces that booting nodes found to be corrupt.")
        self.phases = self._histogram("boot_phase_seconds", "Seconds that boots spent in a phase.", phase=PHASES)
        self.boots = self._histogram("boot_seconds", "Seconds from a node's kernel start to its services being up.")
        self.copies = self._counter(
            "copies_sent", "Copies of a release's images sent over HTTPS: their bytes by the size of their release."
        )

    def _counter(self, name: str, text: str, **labels: Iterable[str]) -> Counter:
        counter = Counter(f"swarmboot_{name}", text, tuple(labels), registry=self.collectors)
        for value in next(iter(labels.values()), ()):
            counter.labels(value)
        return counter

    def _histogram(self, name: str, text: str, **labels: Iterable[str]) -> Histogram:
        buckets = PHASE_BUCKETS_S
        histogram = Histogram(f"swarmboot_{name}", text, tuple(labels), buckets=buckets, registry=self.collectors)
        for value in next(iter(labels.values()), ()):
            histogram.labels(value)
        return histogram

    def refuse(self, reason: str) -> None:
        """Count one request as refused; `reason` is one of REFUSALS."""
        self.refused.labels(reason).inc()

    def take(self, report: BootReport) -> None:
        """Count a report that is its node's own.

        The booted system's first word repeats what the initramfs has reported already, so only what it adds counts.
        """
        self.reports.labels(report.outcome if report.outcome in OUTCOMES else FAILED).inc()
        if report.outcome == BOOTED and "services" in report.phases:
            self.phases.labels("services").observe(report.phases["services"])
            if report.uptime_s:
                self.boots.observe(report.uptime_s)
            return
        for phase, seconds in report.phases.items():
            self.phases.labels(phase).observe(seconds)
        for source, count in report.bytes_from.items():
            self.received.labels(source).inc(count)
        self.rescues.inc(report.rescues)
        self.corrupt.inc(report.hash_failures)
        if report.outcome == FAILED:
            status = str(report.exit_status)
            self.failures.labels(status if status in _STATUSES else OTHER).inc()


_STATUSES = frozenset(statuses())
