"""Multicast: one udp-sender on the server, one udp-receiver on every node, all of them from the first byte on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from netsim.lab.strategies.strategy import NodeProgram

if TYPE_CHECKING:
    from netsim.lab.rack.layout import Node
    from netsim.lab.strategies.strategy import RunContext


class Udpcast:
    """udpcast in full duplex over a switched network. It waits for the last node before it begins."""

    tools: ClassVar[dict[str, str]] = {"udp-sender": "udpcast", "udp-receiver": "udpcast"}
    moves_whole_release = False

    def serve(self, context: RunContext) -> None:
        """Start the sender; it begins by itself when every node has called."""
        plan = context.plan
        sender = context.start_server(
            "udp-sender", "udp-sender", "--file", str(context.payload.image), "--interface", "eth0", "--full-duplex",
            "--nokbd", "--min-receivers", str(plan.nodes), "--ttl", "1",
        )  # fmt: skip
        context.await_server(sender, lambda: bool(sender.log_path.read_bytes()))

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return one receiver; the node is complete when it ends."""
        target = context.node_folder(node) / "image"
        return NodeProgram(("udp-receiver", "--file", str(target), "--interface", "eth0", "--nokbd"))
