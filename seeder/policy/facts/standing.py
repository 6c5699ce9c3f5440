"""How nodes stand: which have fetched what they were leased, and from which addresses they come.

Pure state, as `seeder.policy.facts.registry` is, which keeps it. A node id costs nothing, so a node counts for
something only once it has credit: it has fetched more leases than it let lapse.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from seeder.policy.facts.node import Node, Roster, Tally
from seeder.policy.facts.torrent_state import TorrentState
from swarmboot.ids import InfoHash, NodeId
from swarmboot.text.addresses import counted_as


class Standing:
    """The nodes with credit, which are `known`, and the `strangers`, the longest silent first.

    `known_at` counts the known at each address, `known_near` the same by what an address is counted under
    (`swarmboot.text.addresses.counted_as`), `hidden_at` all nodes that come through a proxy or NAT. `belief_changes`
    grows whenever what a node says it has begins or ceases to count.
    """

    def __init__(self, torrents: Mapping[InfoHash, TorrentState]) -> None:
        self.known = Roster()
        self.strangers: OrderedDict[NodeId, None] = OrderedDict()
        self.known_at = Tally()
        self.known_near = Tally()
        self.hidden_at = Tally()
        self.belief_changes = 0
        self._torrents = torrents

    def add(self, node: Node) -> None:
        """Take in a node that is new: a stranger."""
        self.strangers[node.id] = None

    def remove(self, node: Node) -> None:
        """Forget a node."""
        self._hide(node, node.host, is_hidden=False)
        if node.credit > 0:
            self._know(node, is_known=False)
        del self.strangers[node.id]

    def hear(self, node: Node, host: str, *, is_hidden: bool) -> None:
        """Take note that a node speaks, from `host`, and whether a proxy or NAT stands between; before it has moved."""
        if node.credit <= 0:
            self.strangers.move_to_end(node.id)
        elif node.host != host:
            self._count_known(node.host, -1)
            self._count_known(host, 1)
        self._hide(node, host, is_hidden=is_hidden)

    def give_credit(self, node: Node, change: int) -> None:
        """Count that a node has fetched a lease, or let one lapse."""
        was, was_believed = node.credit, node.is_believed
        node.credit += change
        if (was > 0) != (node.credit > 0):
            self._know(node, is_known=node.credit > 0)
        if was_believed != node.is_believed:
            self.belief_changes += 1

    def _know(self, node: Node, *, is_known: bool) -> None:
        """Take a node for one of those with credit, or for a stranger."""
        self._count_known(node.host, 1 if is_known else -1)
        if is_known:
            self.known.add(node)
            self.strangers.pop(node.id, None)
        else:
            self.known.remove(node)
            self.strangers[node.id] = None
        for info_hash in node.have:
            state = self._torrents[info_hash]
            if is_known and node.id in state.fetchers:
                state.known.add(node.id)
            else:
                state.known.discard(node.id)

    def _hide(self, node: Node, host: str, *, is_hidden: bool) -> None:
        """Take note whether a node comes through a proxy or NAT at `host`."""
        if node.is_hidden != is_hidden or node.host != host:
            self.hidden_at.change(node.host, -1 if node.is_hidden else 0)
            self.hidden_at.change(host, 1 if is_hidden else 0)
            node.is_hidden = is_hidden

    def _count_known(self, host: str, change: int) -> None:
        self.known_at.change(host, change)
        self.known_near.change(counted_as(host), change)
