"""What `make demo-lazy` runs: one node that records what a boot reads, then two beside each other, one of them lazy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from netsim.lab.strategies.lazy import LazyScatter
from netsim.lab.strategies.programs.lazy_node import RECORD
from netsim.lab.strategies.strategy import NodeProgram
from netsim.lab.strategies.swarmboot import Scatter

if TYPE_CHECKING:
    from pathlib import Path

    from netsim.lab.rack.layout import Node
    from netsim.lab.strategies.strategy import RunContext

WHOLE, LAZY = 0, 1
"""Which of the two nodes is which."""


class Recording(LazyScatter):
    """A lazy node that starts programs of a boot from its root, and leaves at `out` what these have read."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return the node; it is complete when the trace is there."""
        program = super().join(context, node)
        argv = [word or RECORD + str(self._out) for word in program.argv]  # it has no trace yet
        return NodeProgram(tuple(argv), done_path=self._out)


class SideBySide(LazyScatter):
    """Two nodes that read the same trace: one when all is there, one while it arrives.

    `ready_paths` are the files in which they say that they have.
    """

    def __init__(self) -> None:
        self.ready_paths: dict[int, Path] = {}

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return a node's program."""
        self.ready_paths[node.index] = self.ready_path(context, node)
        if node.index == LAZY:
            return super().join(context, node)
        plain = Scatter.join(self, context, node)
        ready = self.ready_path(context, node)
        reader = (
            "unshare", "--mount", sys.executable, "-S", "-m", "netsim.lab.strategies.programs.whole_node",
            str(context.node_folder(node)), str(ready), str(context.plan.trace), context.payload.image.name,
        )  # fmt: skip
        environment, leecher = plain.argv[:2], plain.argv[2:]
        return NodeProgram(
            (*environment, *reader, *leecher),
            done_path=plain.done_path,
            report_path=plain.report_path,
            ready_path=ready,
        )
