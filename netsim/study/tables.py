"""What simulations come to as tables for a terminal: one of strategies, one of phases."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from netsim.study.result import SimulationResult
from swarmboot.text.units import format_size


def _shown(value_s: float | None) -> str:
    if value_s is None:
        return "-"
    return f"{value_s:.2f}" if value_s < 10 else f"{value_s:.1f}"


def _table(title: str, first: str, headings: Sequence[str], caption: str = "") -> Table:
    table = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left",
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _cells(result: SimulationResult) -> list[str]:
    up, last = result.up_s, result.up_s.last_s
    return [
        result.strategy,
        *map(_shown, (up.p50_s, up.last_s)),
        "-" if last is None else f"{last / result.limit_s:.2f}",
        _shown(result.whole_s.last_s),
        format_size(result.server_bytes),
        f"{result.server_copies:.1f}",
        f"{result.up}/{result.nodes}",
    ]


def strategies_table(results: Sequence[SimulationResult]) -> Table:
    """Return one row a strategy, the limit last."""
    headings = ("p50 s", "last s", "x limit", "all s", "sent", "copies", "up")
    caption = (
        "up after the first power-on; all: the last has all of its images; sent by servers and mirrors, in bytes and "
        "in copies of what a node needs; swarmboot-lazy's limit is that of what a boot reads"
    )
    table = _table(_title(results), "strategy", headings, caption)
    sizes = list(dict.fromkeys(result.nodes for result in results))
    for nodes in sizes:
        of_size = [result for result in results if result.nodes == nodes]
        if len(sizes) > 1:
            table.add_row(f"{nodes} nodes", style="bold")
        for result in of_size:
            table.add_row(*_cells(result))
        table.add_row("limit", "", _shown(of_size[0].limit_s), "1.00", "", "", "1.0", "", end_section=True)
    return table


def _is_one_size(results: Sequence[SimulationResult]) -> bool:
    return len({result.nodes for result in results}) == 1


def _title(results: Sequence[SimulationResult]) -> str:
    return f"{results[0].nodes} nodes, seed {results[0].seed}" if _is_one_size(results) else f"seed {results[0].seed}"


def phases_table(result: SimulationResult) -> Table:
    """Return how long each phase took under one strategy."""
    table = _table(f"phases of {result.strategy}", "phase", ("p50 s", "p95 s", "p99 s", "last s"))
    for phase, took in {**result.phases, "whole boot": result.up_s}.items():
        table.add_row(phase, *map(_shown, (took.p50_s, took.p95_s, took.p99_s, took.last_s)))
    return table
