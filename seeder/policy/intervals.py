"""How often nodes announce, and how long one may be silent: as the processor and the uplink afford it. Pure."""

from __future__ import annotations

from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.policy.limits import Limits
from seeder.policy.supply import counted

_ANSWER_BYTES = 400
"""What an announce takes of the uplink: the answer with its headers, and what acknowledges the request."""

_STRANGERS_IN_A_ROUND = 256
"""So many nodes without credit count at least; of more, only as many as there are with it: anybody can invent some."""


def announce_interval_s(registry: Registry, node: Node, limits: Limits) -> float:
    """Return when a node should announce again: sooner while it fetches, and never more than the budget allows.

    A node that holds leases is asked at least as often as they would be void otherwise: others wait for what it has.
    """
    base_s = limits.idle_interval_s if node.is_complete else limits.interval_s
    by_processor_s = len(registry.nodes) / limits.announces_per_s
    return max(base_s, by_processor_s if node.leases else _round_s(registry, limits))


def silence_s(registry: Registry, limits: Limits) -> float:
    """Return how long a node may be silent before it is taken for gone."""
    return 2.5 * max(limits.idle_interval_s, _round_s(registry, limits)) + 1.0


def _round_s(registry: Registry, limits: Limits) -> float:
    """Return how long all nodes take to announce once, as the processor and the uplink afford it."""
    by_uplink = limits.announce_share * limits.uplink_bytes_per_s / _ANSWER_BYTES
    strangers = len(registry.standing.strangers)
    count = counted(len(registry.nodes) - strangers, strangers, least=_STRANGERS_IN_A_ROUND)
    return max(len(registry.nodes) / limits.announces_per_s, count / by_uplink)
