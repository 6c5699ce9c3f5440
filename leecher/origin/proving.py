"""How one node proves its requests to its seeder: with the fleet token, with what was left of it, or not at all.

In the initramfs a node holds the token itself. The neighbour in the booted system holds credentials only: an id, its
boot key and the key that proves this one node's announces (`swarmboot.crypto.fleet_token`). Only the seeder's own
address is ever given a proof, and only over TLS (`leecher.origin.small_request`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmboot.crypto.fleet_token import FleetProver, FleetToken, NodeProver, Prover, read_tokens
from swarmboot.ids import NodeId
from swarmboot.settings import NodeSettings


@dataclass(frozen=True, slots=True)
class Proving:
    """What a node can prove: `tokens`, the first of them its own, or as `one` node, or nothing."""

    tokens: tuple[FleetToken, ...] = field(default=(), repr=False)
    one: NodeProver | None = None

    def node(self, node: NodeId) -> Prover | None:
        """Return what proves the announces and reports of a node."""
        return NodeProver(node, self.tokens[0].key_of(node)) if self.tokens else self.one

    def fleet(self, node: NodeId) -> Prover | None:
        """Return what proves a request for what only holders of the token are given."""
        return FleetProver(self.tokens[0], node) if self.tokens else None


def proving_of(settings: NodeSettings) -> Proving:
    """Return what a node with these settings can prove; raise KeyFileError if its token cannot be used."""
    return Proving(read_tokens(settings.fleet_token)) if settings.fleet_token else Proving()
