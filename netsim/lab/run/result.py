"""What one run measured, as a value, as JSON and as a table for people."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from swarmboot.text.units import format_rate, format_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsim.lab.rack.plan import LabPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class LabResult:
    """One run. The first block is the schema others rely on; the rest is for those who look closer.

    `first_s`, `median_s` and `last_s` count from the first node's start to the moment a node is complete; `limit_s` is
    T* at raw rates. `server_bytes` is what the server's interface sent from the first node's start to the last
    one's completion, headers included.
    """

    strategy: str
    nodes: int
    rate_bytes_per_s: float
    size_bytes: int
    first_s: float
    median_s: float
    last_s: float
    limit_s: float
    ratio: float
    server_bytes: int
    server_copies: float
    verified_nodes: int
    cpu_s: float
    peak_rss_bytes: int

    server_rate_bytes_per_s: float
    stagger_s: float
    warm: int
    racks: int
    rack_uplink_bytes_per_s: float | None
    done_s: tuple[float | None, ...]
    """Each node's completion, counted from the first node's start; None for a node that was killed."""
    node_s: tuple[float | None, ...]
    """Each node's completion, counted from its own start."""
    rack_uplink_bytes: Mapping[str, Mapping[str, int]]
    """For each rack, what it sent to the core (`up_bytes`) and received from it (`down_bytes`)."""
    bytes_from: Mapping[str, int]
    """Where the nodes' bytes came from, summed over their reports; empty for strategies that leave none."""
    server_cpu_s: float
    load_average: float
    """The machine's load just before the run: above its processors' number, do not trust the times."""
    reports: tuple[Mapping[str, Any], ...]
    """What the nodes' own boot reports say, for strategies whose nodes leave one."""
    ready_first_s: float | None = None
    ready_median_s: float | None = None
    ready_last_s: float | None = None
    """When nodes had read what a boot reads, counted from the first node's start, where that is before the end."""
    ready_s: tuple[float, ...] = ()
    """The same of each node."""
    read_s: tuple[float, ...] = ()
    """How long each node took to mount its images and to read that, from when the boot set was there."""
    pivot_ms: float | None = None
    """The longest that any node took to put the whole files in place of those still arriving, in milliseconds."""
    loader_s: tuple[float, ...] = ()
    """What the programs took to start that stand for firmware, for strategies that have such."""

    def as_json(self) -> dict[str, object]:
        """Return the run as JSON-ready values; times are rounded to a millisecond."""
        return {key: _rounded(value) for key, value in asdict(self).items()}


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, tuple):
        return [_rounded(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Arrival:
    """One node that became complete: when it started and when it was complete, after the first node's start."""

    started_s: float
    done_s: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the counters of the lab's links say."""

    server_bytes: int
    racks: Mapping[str, Mapping[str, int]]

    def since(self, before: Traffic) -> Traffic:
        """Return what was counted after `before` was."""
        racks = {
            rack: {key: count - before.racks[rack][key] for key, count in counts.items()}
            for rack, counts in self.racks.items()
        }
        return Traffic(self.server_bytes - before.server_bytes, racks)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the programs of a run took from the machine; the memory is the largest of any node's."""

    cpu_s: float
    server_cpu_s: float
    peak_rss_bytes: int


def result_of(
    plan: LabPlan, *, size_bytes: int, arrivals: Sequence[Arrival | None], traffic: Traffic, cost: Cost,
    verified_nodes: int, load_average: float, reports: Sequence[Mapping[str, Any]],
    loader_s: Sequence[float] = (), ready_s: Sequence[float] = (), read_s: Sequence[float] = (),
    pivots_ms: Sequence[float] = (),
) -> LabResult:  # fmt: skip
    """Return the result of a run; with no arrival at all its times are 0."""
    done_s = [arrival.done_s for arrival in arrivals if arrival is not None] or [0.0]
    limit_s = plan.limit_s(size_bytes)
    return LabResult(
        strategy=plan.strategy,
        nodes=plan.nodes,
        rate_bytes_per_s=plan.rate_bytes_per_s,
        size_bytes=size_bytes,
        first_s=min(done_s),
        median_s=statistics.median(done_s),
        last_s=max(done_s),
        limit_s=limit_s,
        ratio=max(done_s) / limit_s,
        server_bytes=traffic.server_bytes,
        server_copies=traffic.server_bytes / size_bytes,
        verified_nodes=verified_nodes,
        cpu_s=cost.cpu_s,
        peak_rss_bytes=cost.peak_rss_bytes,
        server_rate_bytes_per_s=plan.rates.server_bytes_per_s,
        stagger_s=plan.stagger_s,
        warm=plan.warm,
        racks=plan.racks,
        rack_uplink_bytes_per_s=plan.rack_uplink_bytes_per_s,
        done_s=tuple(None if arrival is None else arrival.done_s for arrival in arrivals),
        node_s=tuple(None if arrival is None else arrival.done_s - arrival.started_s for arrival in arrivals),
        rack_uplink_bytes=traffic.racks,
        bytes_from=_bytes_from(reports),
        server_cpu_s=cost.server_cpu_s,
        load_average=load_average,
        reports=tuple(reports),
        ready_first_s=min(ready_s, default=None),
        ready_median_s=statistics.median(ready_s) if ready_s else None,
        ready_last_s=max(ready_s, default=None),
        ready_s=tuple(ready_s),
        read_s=tuple(read_s),
        pivot_ms=max(pivots_ms, default=None),
        loader_s=tuple(loader_s),
    )


def _bytes_from(reports: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return where all nodes' bytes came from, by the reports that say so."""
    sources = [report.get("bytes_from", {}) for report in reports]
    return {name: sum(source.get(name, 0) for source in sources) for name in set().union(*sources)}


def table_of(results: Sequence[LabResult]) -> Table:
    """Return the table of runs over the same links, in the order given."""
    first = results[0]
    links = f"{first.nodes} nodes at {format_rate(first.rate_bytes_per_s)}"
    if first.warm:
        links = f"{first.warm} warm nodes, {links}"
    if first.server_rate_bytes_per_s != first.rate_bytes_per_s:
        links += f", server at {format_rate(first.server_rate_bytes_per_s)}"
    if first.rack_uplink_bytes_per_s is not None:
        links += f", {first.racks} racks behind {format_rate(first.rack_uplink_bytes_per_s)}"
    title = f"{links}, {format_size(first.size_bytes)} each; limit T* {first.limit_s:.2f} s"
    caption = "seconds from the first start; copies the server sent, headers counted; images verified; RSS of a node"
    table = Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("strategy", no_wrap=True)
    for heading in ("first s", "median s", "last s", "x T*", "copies", "images", "CPU s", "RSS"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            result.strategy,
            f"{result.first_s:.2f}",
            f"{result.median_s:.2f}",
            f"{result.last_s:.2f}",
            f"{result.ratio:.2f}",
            f"{result.server_copies:.2f}",
            f"{result.verified_nodes}/{result.nodes}",
            f"{result.cpu_s:.1f}",
            format_size(result.peak_rss_bytes),
        )
    return table
