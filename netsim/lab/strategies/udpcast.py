"""Multicast: one udp-sender on the server, one udp-receiver on every node, all of them from the first byte on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from netsim.lab.strategies.strategy import NodeProgram

if TYPE_CHECKING:
    from netsim.lab.rack.layout import Node
    from netsim.lab.strategies.strategy import Stage


class Udpcast:
    """udpcast in full duplex over a switched network. It waits for the last node before it begins."""

    tools: ClassVar[dict[str, str]] = {"udp-sender": "udpcast", "udp-receiver": "udpcast"}
    moves_whole_release = False

    def serve(self, stage: Stage) -> None:
        """Start the sender; it begins by itself when every node has called."""
        plan = stage.plan
        sender = stage.start_server(
            "udp-sender", "udp-sender", "--file", str(stage.cargo.image), "--interface", "eth0", "--full-duplex",
            "--nokbd", "--min-receivers", str(plan.nodes), "--ttl", "1",
        )  # fmt: skip
        stage.await_server(sender, lambda: bool(sender.log_path.read_bytes()))

    def join(self, stage: Stage, node: Node) -> NodeProgram:
        """Return one receiver; the node is complete when it ends."""
        target = stage.node_folder(node) / "image"
        return NodeProgram(("udp-receiver", "--file", str(target), "--interface", "eth0", "--nokbd"))
