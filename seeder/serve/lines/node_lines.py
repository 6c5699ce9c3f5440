"""What nodes hand in of their logs, over `POST /log`: who may, as what, and what they are answered.

As announces are: an id belongs to the key that began it, and where there is a fleet token it is proved. Lines of an id
that nobody began stand under their address, as those of UDP do. Nothing is decided by them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from seeder.node_log.listener import NodeLog
from seeder.policy.facts.node import ImpostorError
from seeder.policy.facts.registry import Registry
from swarmboot.text.addresses import counted_as
from swarmboot.wire.node_log import NodeLines, Taken


@dataclass(frozen=True, slots=True)
class LinesTaken:
    """Takes in the lines of the nodes of one registry."""

    log: NodeLog
    registry: Registry

    def take(self, said: NodeLines, *, host: str, is_proved: bool) -> Taken:
        """Return what the node is answered; raise ImpostorError if it speaks for another's.

        Who has shown who it is, by a proof or by leases that it has fetched, has an allowance of its own; others share
        that of their address.
        """
        node = self.registry.nodes.get(said.node)
        if node is not None and not node.may_speak(said.key, host):
            raise ImpostorError("this node id belongs to another")
        is_known = is_proved or (node is not None and node.credit > 0)
        return self.log.post(
            said.lines,
            host=host,
            node=said.node.hex() if node is not None else "",
            whose=said.node.hex() if is_known else counted_as(host),
            nodes=len(self.registry.nodes),
            now_unix_s=time.time(),
        )
