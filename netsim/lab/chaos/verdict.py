"""What a rack under attack must still do, and whether it did: bounds and verdicts as values, no input or output.

A node's time is its own: from its start to its report. A row's is the slowest node's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from netsim.lab.rack.fluid_limit import LinkRates, unicast_time_s

if TYPE_CHECKING:
    from collections.abc import Sequence

FAULT_FREE_FACTOR = 2.0
PLAIN_FACTOR = 1.1
FAULT_FREE = "fault-free"
"""The row that all others are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What all rows of one chaos run share. Rates in bytes per second, sizes in bytes."""

    nodes: int
    rate_bytes_per_s: float
    size_bytes: int
    seed: int
    seeds: int = 1
    """How many seeds the whole run has: what a row does often, it does that share of."""

    @property
    def plain_s(self) -> float:
        """Return what plain HTTPS from one server would take: N x size / rate, no header counted."""
        rates = LinkRates(server_bytes_per_s=self.rate_bytes_per_s, node_bytes_per_s=self.rate_bytes_per_s)
        return unicast_time_s(self.size_bytes, self.nodes, rates)


def bound_s(fault_free_s: float, plain_s: float) -> float:
    """Return how long the slowest node may take: the longer of 2 x the fault-free run and 1.1 x plain HTTPS."""
    return max(FAULT_FREE_FACTOR * fault_free_s, PLAIN_FACTOR * plain_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one node's boot ended. `seconds` is None unless it booted; `words` is the last line that it said."""

    name: str
    seconds: float | None = None
    is_killed: bool = False
    is_wrong: bool = False
    """Whether an image under its final name is none that was published."""
    exit_status: int | None = None
    """The status of a program that ended by itself; None while it runs."""
    words: str = ""

    @property
    def fault(self) -> str:
        """Return what is wrong with this boot, or nothing: a killed node owes nothing."""
        if self.is_wrong:
            return f"{self.name} holds a wrong image"
        if self.is_killed or self.seconds is not None:
            return ""
        if self.exit_status is None:
            return f"{self.name} waits: {self.words}"
        return f"{self.name} ended with {self.exit_status}: {self.words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One row's figures with one seed. `faults` is empty if it held. Times in seconds."""

    row: str
    seed: int
    booted: int
    expected: int
    wrong: int
    last_s: float
    fault_free_s: float
    plain_s: float
    bound_s: float
    server_copies: float
    """What the server's interface sent, headers counted, over the size of the image."""
    faults: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Return the slowest node's time over the fault-free run's."""
        return self.last_s / self.fault_free_s if self.fault_free_s else 0.0

    def as_json(self) -> dict[str, object]:
        """Return the row as JSON-ready values, times rounded to a millisecond."""
        found = {**asdict(self), "ratio": self.ratio, "faults": list(self.faults)}
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}


def judge(
    row: str,
    terms: Terms,
    endings: Sequence[Ending],
    *,
    fault_free_s: float | None,
    plain_s: float,
    server_bytes: int,
    faults: Sequence[str],
) -> Outcome:
    """Return a row's outcome. `faults` are what the row itself found; `fault_free_s` is None for the fault-free row."""
    times = [ending.seconds for ending in endings if ending.seconds is not None]
    last_s = max(times, default=0.0)
    reference_s = last_s if fault_free_s is None else fault_free_s
    allowed_s = bound_s(reference_s, plain_s)
    found = [*faults, *(ending.fault for ending in endings if ending.fault)]
    if last_s > allowed_s:
        found.append(f"the last node took {last_s:.1f} s, allowed are {allowed_s:.1f} s")
    return Outcome(
        row=row,
        seed=terms.seed,
        booted=len(times),
        expected=sum(not ending.is_killed for ending in endings),
        wrong=sum(ending.is_wrong for ending in endings),
        last_s=last_s,
        fault_free_s=reference_s,
        plain_s=plain_s,
        bound_s=allowed_s,
        server_copies=server_bytes / terms.size_bytes,
        faults=tuple(found),
    )


HEADING = f"{'row':<24} seed  booted  wrong  last s  x f-free  bound s  copies  verdict"


def line_of(outcome: Outcome) -> str:
    """Return a row of the table under HEADING; further faults follow on lines of their own."""
    verdict = "ok" if not outcome.faults else f"FAILED: {outcome.faults[0]}"
    booted = f"{outcome.booted}/{outcome.expected}"
    first = (
        f"{outcome.row:<24} {outcome.seed:>4}  {booted:>6}  {outcome.wrong:>5}  {outcome.last_s:>6.2f}"
        f"  {outcome.ratio:>8.2f}  {outcome.bound_s:>7.1f}  {outcome.server_copies:>6.2f}  {verdict}"
    )
    return "\n".join([first, *(f"{'':<26}{fault}" for fault in outcome.faults[1:])])


def markdown_of(outcomes: Sequence[Outcome]) -> str:
    """Return the table for the docs: a line a row, over all its seeds, the worst of each figure."""
    rows = dict.fromkeys(outcome.row for outcome in outcomes)
    lines = [
        "| row | booted | wrong images | last node, s (x fault-free) | bound, s | server copies | held |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        of = [outcome for outcome in outcomes if outcome.row == row]
        worst = max(of, key=lambda outcome: outcome.last_s)
        held = sum(not outcome.faults for outcome in of)
        lines.append(
            f"| `{row}` | {sum(each.booted for each in of)} of {sum(each.expected for each in of)}"
            f" | {sum(each.wrong for each in of)} | {worst.last_s:.1f} ({max(each.ratio for each in of):.2f})"
            f" | {min(each.bound_s for each in of):.1f} | {max(each.server_copies for each in of):.2f}"
            f" | {held} of {len(of)} |"
        )
    return "\n".join(lines) + "\n"
