"""swarmboot with images in use before they are whole: a boot's reads replayed through the mount on every node."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from netsim.lab.strategies.strategy import NodeProgram
from netsim.lab.strategies.swarmboot import Scatter

if TYPE_CHECKING:
    from pathlib import Path

    from netsim.lab.rack.layout import Node
    from netsim.lab.strategies.strategy import RunContext

READY_SUFFIX = ".ready.json"


class LazyScatter(Scatter):
    """As `Scatter`, published with the plan's trace; each node replays that as soon as its images can be read."""

    tools: ClassVar[dict[str, str]] = {"unshare": "util-linux", "mount": "mount", "umount": "mount", "losetup": "mount"}

    def publish_options(self, context: RunContext) -> tuple[str, ...]:
        """Return what `publish` is told besides: the order in which a boot reads."""
        return ("--trace", str(context.plan.trace)) if context.plan.trace else ()

    def ready_path(self, context: RunContext, node: Node) -> Path:
        """Return the file in which a node says when it had read what a boot reads."""
        folder = context.node_folder(node)
        return folder.with_name(f"{folder.name}{READY_SUFFIX}")

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return a leecher below its server of reads, and who reads."""
        plain = super().join(context, node)
        folder, ready = context.node_folder(node), self.ready_path(context, node)
        reader = (
            "unshare", "--mount", sys.executable, "-S", "-m", "netsim.lab.strategies.programs.lazy_node",
            str(folder), str(ready), str(context.plan.trace or ""),
        )  # fmt: skip
        environment, leecher = plain.argv[:2], plain.argv[2:]
        return NodeProgram(
            (*environment, *reader, *leecher, "--lazy"),
            done_path=plain.done_path,
            report_path=plain.report_path,
            ready_path=ready,
        )
