"""What one run measured, as a value, as JSON and as a table for people."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from swarmboot.units import format_rate, format_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
    racks: int
    rack_uplink_bytes_per_s: float | None
    done_s: tuple[float | None, ...]
    """Each node's completion, counted from the first node's start; None for a node that was killed."""
    node_s: tuple[float | None, ...]
    """Each node's completion, counted from its own start."""
    rack_uplink_bytes: Mapping[str, Mapping[str, int]]
    server_cpu_s: float
    load_average: float
    """The machine's load just before the run: above its processors' number, do not trust the times."""
    reports: tuple[Mapping[str, object], ...]
    """What the nodes' own boot reports say, for strategies whose nodes leave one."""

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
class Spread:
    """The first, the median and the last of some times, in seconds."""

    first_s: float
    median_s: float
    last_s: float


def spread_of(times_s: Sequence[float]) -> Spread:
    """Return the spread of at least one time."""
    return Spread(min(times_s), statistics.median(times_s), max(times_s))


def table_of(results: Sequence[LabResult]) -> Table:
    """Return the table of runs over the same links, in the order given."""
    first = results[0]
    links = f"{first.nodes} nodes at {format_rate(first.rate_bytes_per_s)}"
    if first.server_rate_bytes_per_s != first.rate_bytes_per_s:
        links += f", server at {format_rate(first.server_rate_bytes_per_s)}"
    if first.rack_uplink_bytes_per_s is not None:
        links += f", {first.racks} racks behind {format_rate(first.rack_uplink_bytes_per_s)}"
    table = Table(title=f"{links}, {format_size(first.size_bytes)} each; limit T* {first.limit_s:.2f} s")
    table.add_column("strategy")
    for heading in ("first s", "median s", "last s", "x T*", "server copies", "verified", "CPU s", "node RSS"):
        table.add_column(heading, justify="right")
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
