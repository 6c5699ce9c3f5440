"""swarmboot from stage 0 on: machines that load kernel and initramfs from the server and each other, then a leecher.

Every machine is `netsim.lab.strategies.programs.firmware` and then the leecher that the kernel would start; nodes
serve stage 0 from their leecher's first seconds on, at real doors.
"""

from __future__ import annotations

import random
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from netsim.lab.rack.layout import SERVER_ADDRESS
from netsim.lab.strategies.strategy import NodeProgram
from netsim.lab.strategies.swarmboot import Scatter

if TYPE_CHECKING:
    from netsim.lab.rack.layout import Node
    from netsim.lab.strategies.strategy import RunContext

DOOR = 8080
KERNEL_SHARE = 1 / 3
"""Of stage 0, what the kernel takes: 10 MB of 30."""


class Stage0Scatter(Scatter):
    """Scatter and swap for the images, and neighbours that serve stage 0."""

    server_arguments: ClassVar[tuple[str, ...]] = ("--pxe-listen", f"{SERVER_ADDRESS}:{DOOR}", "--stage0-trust", "lan")

    def serve(self, context: RunContext) -> None:
        """Publish a release with a kernel and an initramfs, and start the seeder."""
        stage0_bytes = context.plan.stage0_bytes
        kernel_bytes = round(stage0_bytes * KERNEL_SHARE)
        for name, size_bytes in (("vmlinuz", kernel_bytes), ("initramfs.img", stage0_bytes - kernel_bytes)):
            (context.payload.release / name).write_bytes(b"\x1f" + random.Random(name).randbytes(size_bytes - 1))
        super().serve(context)

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return a machine's program: its firmware's part, then a leecher, a process of its own."""
        leecher = super().join(context, node)
        folder = context.node_folder(node)
        mac = f"52:54:00:00:{node.index >> 8:02x}:{node.index & 255:02x}"
        report, kernel_s = str(stage0_report(folder)), f"{context.plan.kernel_s:.3f}"
        program = (sys.executable, "-S", "-m", "netsim.lab.strategies.programs.firmware")
        where = (f"{SERVER_ADDRESS}:{DOOR}", mac, kernel_s, str(folder), report)
        firmware = ("env", f"PYTHONPATH={Path(__file__).parents[3]}", *program, *where)
        both = f"{shlex.join(firmware)} && {shlex.join(leecher.argv)}; exit $?"
        return NodeProgram(("sh", "-c", both), done_path=leecher.done_path, report_path=leecher.report_path)


def stage0_report(folder: Path) -> Path:
    """Return where a machine's firmware says how long it took."""
    return folder.with_name(f"{folder.name}.stage0.json")
