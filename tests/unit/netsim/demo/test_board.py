"""What the demo shows: bars that tell where bytes came from, one plain line, and the sums at the end."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from netsim.demo import board
from netsim.demo.board import Outcome
from netsim.demo.rack import NodeView

SIZE_BYTES = 1000


def build_node(address: str = "127.0.0.2", **changes: float) -> NodeView:
    whole = NodeView(
        address,
        have_bytes=SIZE_BYTES,
        total_bytes=SIZE_BYTES,
        from_neighbours_bytes=750,
        from_origin_bytes=250,
        seconds_s=2.0,
    )
    return replace(whole, **changes)  # type: ignore[arg-type] # one value type for all fields is enough for a test


def build_outcome(*nodes: NodeView, differing: dict[str, list[str]] | None = None) -> Outcome:
    return Outcome(nodes, {node.address: [] for node in nodes} | (differing or {}), SIZE_BYTES, 500.0, cores=2)


def rendered(renderable: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("have_bytes", "neighbours", "origin", "cells"),
    [
        (0, 0, 0, (0, 0, 8)),
        (500, 500, 0, (4, 0, 4)),
        (500, 0, 500, (0, 4, 4)),
        (1000, 750, 250, (6, 2, 0)),
        (1000, 1500, 500, (6, 2, 0)),
        (2000, 1000, 1000, (4, 4, 0)),
    ],
)
def test_a_bar_is_filled_by_what_the_node_has_and_split_by_where_it_came_from(
    have_bytes: int, neighbours: int, origin: int, cells: tuple[int, int, int]
) -> None:
    node = build_node(have_bytes=have_bytes, from_neighbours_bytes=neighbours, from_origin_bytes=origin)
    spans = board.bar(node, cells=8).spans
    lengths = {str(span.style): span.end - span.start for span in spans}
    assert tuple(lengths.get(colour, 0) for colour in ("green", "dodger_blue2", "grey37")) == cells


def test_a_node_that_has_nothing_yet_is_starting() -> None:
    node = NodeView("127.0.0.2", total_bytes=SIZE_BYTES)
    assert "starting" in rendered(board.bars([node], size_bytes=SIZE_BYTES, elapsed_s=0.5))


def test_a_plain_line_tells_every_nodes_share_and_what_the_server_sent() -> None:
    nodes = [build_node(), build_node(have_bytes=500, from_origin_bytes=750, seconds_s=None)]  # type: ignore[arg-type]
    line = board.plain(nodes, size_bytes=SIZE_BYTES, elapsed_s=1.5)
    assert line == "  1.5 s: 1 of 2 complete, 100% 50%; the server has sent 1.00 copies"


def test_the_outcome_is_first_median_last_limit_and_copies() -> None:
    nodes = [build_node(f"127.0.0.{2 + number}", seconds_s=3.0 + number) for number in range(4)]
    found = build_outcome(*nodes).as_dict()
    assert (found["first_s"], found["median_s"], found["last_s"]) == (3.0, 4.5, 6.0)
    assert (found["limit_s"], found["ratio"], found["server_copies"]) == (2.0, 3.0, 1.0)
    assert found["verified_nodes"] == 4


def test_a_node_whose_image_differs_is_named_and_not_counted_as_equal() -> None:
    outcome = build_outcome(build_node("127.0.0.2"), build_node("127.0.0.3"), differing={"127.0.0.3": ["rootfs"]})
    assert "DIFFER: rootfs" in rendered(board.table(outcome))
    assert "on 1 of 2 nodes every image equals" in board.summary(outcome)
    assert outcome.as_dict()["verified_nodes"] == 1


def test_the_summary_compares_with_one_copy_a_node_over_the_same_uplink() -> None:
    nodes = [build_node(f"127.0.0.{2 + number}") for number in range(8)]
    assert "16.0 s at the least: 8 copies" in board.summary(build_outcome(*nodes))
