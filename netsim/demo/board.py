"""What a demo shows: bars that fill while the rack boots, plain lines off a terminal, and the table at the end.

Pure: it takes views of nodes and returns text or Rich renderables. Seconds and bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from netsim.lab.rack.fluid_limit import LinkRates, least_time_s, unicast_time_s
from swarmboot.text.units import format_duration, format_rate, format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsim.demo.rack import NodeView

_CELLS = 40
_NEIGHBOURS, _ORIGIN, _LACKING = "green", "dodger_blue2", "grey37"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished demo. `differing` maps a node's address to the images of it that are not the published ones."""

    nodes: Sequence[NodeView]
    differing: dict[str, list[str]]
    size_bytes: int
    uplink_bytes_per_s: float
    cores: int

    @property
    def seconds_s(self) -> list[float]:
        """Return the nodes' times, rising."""
        return sorted(node.seconds_s for node in self.nodes if node.seconds_s is not None)

    @property
    def copies(self) -> float:
        """Return how many copies of the images the server sent."""
        return copies_sent(self.nodes, self.size_bytes)

    @property
    def _rates(self) -> LinkRates:
        return LinkRates(server_bytes_per_s=self.uplink_bytes_per_s, node_bytes_per_s=float("inf"))

    @property
    def limit_s(self) -> float:
        """Return T*: loopback nodes have no link, so the server's uplink is the only bound."""
        return least_time_s(self.size_bytes, 1, self._rates)

    @property
    def unicast_s(self) -> float:
        """Return what sending every node its own copy over the same uplink takes at the least."""
        return unicast_time_s(self.size_bytes, len(self.nodes), self._rates)

    def as_dict(self) -> dict[str, object]:
        """Return the outcome as `--json` prints it."""
        times_s = self.seconds_s
        return {
            "nodes": len(self.nodes),
            "size_bytes": self.size_bytes,
            "uplink_bytes_per_s": self.uplink_bytes_per_s,
            "first_s": times_s[0],
            "median_s": median(times_s),
            "last_s": times_s[-1],
            "limit_s": self.limit_s,
            "ratio": times_s[-1] / self.limit_s,
            "server_copies": self.copies,
            "verified_nodes": sum(not names for names in self.differing.values()),
            "hash_failures": sum(node.hash_failures for node in self.nodes),
        }


def copies_sent(nodes: Sequence[NodeView], size_bytes: int) -> float:
    """Return the bytes that nodes had from the origin, in copies of the images."""
    return sum(node.from_origin_bytes for node in nodes) / max(1, size_bytes)


def bars(nodes: Sequence[NodeView], *, size_bytes: int, elapsed_s: float) -> Table:
    """Return one bar a node, coloured by where its bytes came from, under a line about the server."""
    title = Text.assemble(
        f"{format_duration(elapsed_s)}   the server has sent {copies_sent(nodes, size_bytes):.2f} copies   ",
        ("■ from neighbours ", _NEIGHBOURS), ("■ from the server", _ORIGIN),
    )  # fmt: skip
    table = Table(title=title, title_justify="left", title_style="", box=None, show_header=False, padding=(0, 1))
    for node in nodes:
        table.add_row(node.address, bar(node), _state(node))
    return table


def bar(node: NodeView, cells: int = _CELLS) -> Text:
    """Return a node's bar, `cells` wide."""
    filled = round(cells * min(1.0, node.have_bytes / max(1, node.total_bytes)))
    received_bytes = node.from_neighbours_bytes + node.from_origin_bytes
    from_origin = round(filled * node.from_origin_bytes / max(1, received_bytes))
    return Text.assemble(
        ("█" * (filled - from_origin), _NEIGHBOURS), ("█" * from_origin, _ORIGIN), ("░" * (cells - filled), _LACKING)
    )


def _state(node: NodeView) -> str:
    if node.seconds_s is not None:
        return f"complete after {format_duration(node.seconds_s)}"
    return f"{format_size(node.have_bytes)} of {format_size(node.total_bytes)}" if node.have_bytes else "starting"


def plain(nodes: Sequence[NodeView], *, size_bytes: int, elapsed_s: float) -> str:
    """Return the same as one line, for where there is no terminal."""
    shares = " ".join(f"{100 * node.have_bytes // max(1, node.total_bytes)}%" for node in nodes)
    complete = sum(node.seconds_s is not None for node in nodes)
    copies = copies_sent(nodes, size_bytes)
    return f"{elapsed_s:5.1f} s: {complete} of {len(nodes)} complete, {shares}; the server has sent {copies:.2f} copies"


def table(outcome: Outcome) -> Table:
    """Return the table at the end, one row a node."""
    rows = Table("node", "seconds", "from neighbours", "from server", "bad pieces", "images", header_style="bold")
    for column in rows.columns[1:5]:
        column.justify = "right"
    for node in outcome.nodes:
        names = outcome.differing[node.address]
        rows.add_row(
            node.address,
            "never" if node.seconds_s is None else f"{node.seconds_s:.2f}",
            format_size(node.from_neighbours_bytes),
            format_size(node.from_origin_bytes),
            str(node.hash_failures),
            Text(f"DIFFER: {', '.join(names)}", "bold red") if names else "equal",
        )
    return rows


def summary(outcome: Outcome) -> str:
    """Return what the table means, in a few lines."""
    first_s, middle_s, last_s = outcome.seconds_s[0], median(outcome.seconds_s), outcome.seconds_s[-1]
    count, limit_s = len(outcome.nodes), outcome.limit_s
    equal = sum(not names for names in outcome.differing.values())
    start_s, cores = max(node.start_s for node in outcome.nodes), outcome.cores
    uplink, size = format_rate(outcome.uplink_bytes_per_s), format_size(outcome.size_bytes)
    rows = (
        ("seconds", f"first {first_s:.2f}, median {middle_s:.2f}, last {last_s:.2f}, from the first process's start"),
        ("server sent", f"{outcome.copies:.2f} copies of {size}, as the nodes counted them"),
        ("limit T*", f"{limit_s:.2f} s = {size} / {uplink}, the server's uplink: loopback has no other link to limit"),
        (
            "last node",
            f"{last_s / limit_s:.2f} x T*; {start_s:.2f} s of it is {count} leechers starting on {cores} cores",
        ),
        ("plain HTTPS", f"{outcome.unicast_s:.1f} s at the least: {count} copies over the same uplink"),
        ("images", f"on {equal} of {count} nodes every image equals the published one (SHA-256)"),
    )
    return "\n".join(f"{name:<12} {text}" for name, text in rows)
