"""What becomes of the leases of each node: granted, fulfilled, given back, or void when their time is over.

Pure: facts go in with their time. What a lease is, and what the seeder sees of it, is in `seeder.policy.facts.leases`;
which one to grant is decided in `seeder.policy.granting`.
"""

from __future__ import annotations

import math

from seeder.policy.facts.leases import SHOW_S, STALL_S, START_MAX_S, Book, OpenLease, idle_from_s
from seeder.policy.facts.node import Node
from seeder.policy.facts.standing import Standing
from swarmboot.ids import InfoHash, LeaseId, PieceIndex
from swarmboot.release import piece_set
from swarmboot.wire.announce import Lease


class NodeLeases:
    """Keeps nodes' leases and the book of all leases in step, and counts for and against nodes what comes of them."""

    def __init__(self, book: Book, standing: Standing) -> None:
        self._book = book
        self._standing = standing

    def grant(
        self,
        node: Node,
        info_hash: InfoHash,
        first: PieceIndex,
        count: int,
        *,
        now_s: float,
        lease_timeout_s: float,
        origin: int = 0,
        is_shared: bool = False,
    ) -> Lease:
        """Return a new lease of these pieces to `node`, on record until they arrive, it is returned or it expires.

        It expires after `lease_timeout_s`; each sign of progress leaves it `STALL_S` at least, but no longer in all
        than with a sign for every piece, or `START_MAX_S`. Others may take over one that is shared.
        """
        self._book.granted += 1
        lease = LeaseId(self._book.granted)
        most_s = max(START_MAX_S, lease_timeout_s + (count + 2) * STALL_S)
        node.leases[lease] = OpenLease(
            lease, node.id, node.host, info_hash, first, count, piece_set.span(first, count),
            granted_s=now_s, expires_s=now_s + lease_timeout_s, ends_s=now_s + most_s,
            is_seen=origin == 0, is_shared=is_shared,
        )  # fmt: skip
        self._book.open(node.leases[lease])
        if is_shared:
            self._book.idle(node.leases[lease])
        return Lease(lease, info_hash, first, count, origin)

    def settle(self, node: Node, now_s: float) -> None:
        """Close leases whose pieces have arrived; progress on a lease renews it."""
        for lease in list(node.leases.values()):
            left = lease.awaited & ~node.have.get(lease.info_hash, 0)
            if not left:
                self._lapse(node, lease, is_so=lease.has_lapsed and not lease.is_begun)
                self._void(node, lease.id)
            elif left != lease.awaited:
                self._book.gain(lease, left)
                lease.renew(now_s)

    def receive(self, node: Node, lease: LeaseId, now_s: float) -> None:
        """Free a lease's place in the pipe; its pieces stay leased until they are announced as verified.

        Once, and for a moment: what the seeder would have seen and has not is not believed.
        """
        open_lease = node.leases.get(lease)
        if open_lease is not None and not open_lease.is_received:
            self._book.receive(open_lease)
            if not open_lease.has_lapsed:
                open_lease.renew(now_s)
            elif self._book.has_seen and not open_lease.is_idle:
                self._lapse(node, open_lease, is_so=True)
                self._book.idle(open_lease)

    def give_back(self, node: Node, lease: LeaseId) -> None:
        """Take back a lease; to give it back without having asked for its bytes is to let it lapse."""
        open_lease = node.leases.get(lease)
        if open_lease is not None:
            self._lapse(node, open_lease, is_so=open_lease.has_lapsed and not open_lease.is_begun)
            self._void(node, lease)

    def _lapse(self, node: Node, lease: OpenLease, *, is_so: bool) -> None:
        if is_so and (lease.is_shared or not lease.is_idle) and self._book.has_seen:
            self._standing.give_credit(node, -1)
            self._book.lapse(lease.host)

    def close_all(self, node: Node) -> None:
        """Close the leases of a node that leaves."""
        for lease in list(node.leases):
            self._void(node, lease)

    def _void(self, node: Node, lease: LeaseId) -> None:
        open_lease = node.leases.pop(lease, None)
        if open_lease is not None:
            self._book.close(open_lease)

    def expire(self, node: Node, now_s: float) -> None:
        """Void a node's leases that have timed out; what a starting node has fetched it is given time to show."""
        for lease in list(node.leases.values()):
            if lease.is_fetched and lease.shown_s == math.inf:
                lease.shown_s = now_s + SHOW_S
            is_kept = node.is_starting and lease.is_received and not lease.has_lapsed
            kept_s = lease.granted_s + START_MAX_S if is_kept else 0.0
            if max(kept_s, lease.expires_s) <= now_s:
                self._lapse(node, lease, is_so=lease.has_lapsed)
                self._count_unshown(node, lease)
                self._void(node, lease.id)
            elif idle_from_s(lease, is_starting=node.is_starting) <= now_s:
                self._lapse(node, lease, is_so=lease.has_lapsed)
                self._book.idle(lease)

    def _count_unshown(self, node: Node, lease: OpenLease) -> None:
        """Count against a node that it has fetched pieces and not shown them in time."""
        if lease.is_fetched and lease.awaited:
            self._standing.give_credit(node, -2)
            self._book.lapse(lease.host)
