"""How a canary's boots went, beside those of the others: decided from the record of boots. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from seeder.record.policy.boot import PHASES, Outcome
from seeder.record.policy.state import State
from swarmboot.release.canary import Canary, is_canary

_WELL = (Outcome.UP.value, Outcome.VERIFIED.value, Outcome.LEFT.value)


@dataclass(frozen=True, slots=True)
class Tally:
    """Boots since the canary began: `up` came up, `failed` did not, `going` are under way; `nodes` run it now.

    A boot that loads its kernel and is never heard of again has failed, as soon as it is stuck or its machine has
    begun another.
    """

    up: int = 0
    failed: int = 0
    going: int = 0
    nodes: int = 0

    @property
    def failed_share(self) -> float | None:
        """Return the share of ended boots that failed, None before one has ended."""
        ended = self.up + self.failed
        return self.failed / ended if ended else None


def tallies(
    canary: Canary, history: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]]
) -> tuple[Tally, Tally]:
    """Return how it went for the canary and for its channel's others; what `/api/history` and `/api/nodes` answer."""
    now = {node["id"]: node for node in nodes}
    counts = {canary.source: [0, 0, 0, 0], canary.channel: [0, 0, 0, 0]}
    for boot in history:
        side = counts.get(boot["channel"])
        if side is None or boot["began_unix_s"] < canary.issued_unix_s:
            continue
        side[_KINDS.index(_kind(boot, now.get(boot["id"])))] += 1
    for node in now.values():
        if node["channel"] in counts and node["state"] == State.UP:
            counts[node["channel"]][3] += 1
    own, others = (Tally(*counts[name]) for name in (canary.source, canary.channel))
    return own, others


_KINDS = ("up", "failed", "going")


def _kind(boot: Mapping[str, Any], node: Mapping[str, Any] | None) -> str:
    if boot["outcome"] in _WELL:
        return "up"
    is_open = boot["outcome"] in ("", *PHASES)
    return "going" if is_open and node is not None and node["state"] == State.BOOTING else "failed"


def fitting(canary: Canary, nodes: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Return how many of the machines that are known are canaries, and how many there are."""
    machines = {node["mac"]: node["rack"] for node in nodes if node["mac"]}
    return sum(is_canary(canary, mac=mac, rack=rack) for mac, rack in machines.items()), len(machines)


def lines(canary: Canary, tally: tuple[Tally, Tally], fits: tuple[int, int]) -> list[str]:
    """Return it as a table for a person."""
    rows: list[tuple[str, ...]] = [("CHANNEL", "NODES", "BOOTS", "UP", "FAILED", "UNDER WAY", "FAILED SHARE")]
    for name, each in zip((canary.source, canary.channel), tally, strict=True):
        share = "-" if each.failed_share is None else f"{each.failed_share:.1%}"
        counts = (each.nodes, each.up + each.failed + each.going, each.up, each.failed, each.going)
        rows.append((name, *map(str, counts), share))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [f"{fits[0]} of the {fits[1]} machines that are known boot it", *table]


def value(tally: Tally) -> dict[str, Any]:
    """Return it as JSON has it."""
    return {
        "nodes": tally.nodes, "up": tally.up, "failed": tally.failed, "under_way": tally.going,
        "failed_share": tally.failed_share,
    }  # fmt: skip
