"""Which interface bare machines are on, and which addresses to give out there. Pure: what the machine says comes in.

An interface that leads out of the site is somebody else's network until a machine has none but that.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise

RANGE_MAX = 2048
"""More addresses than that are given out by nobody who has not asked for it."""

_SPARE = 10
"""Addresses at the beginning of a network that stay free for routers, switches and this server."""

_OF_CONTAINERS = re.compile(
    r"(?:docker|veth|virbr|br-[0-9a-f]{12}|lxc|lxd|cni|flannel|cali|podman|tap|tun|wg|tailscale)"
)
_Address = ipaddress.IPv4Address


@dataclass(frozen=True, slots=True)
class Card:
    """An interface with an IPv4 address: whether it has a link, and whether the default route leads through it."""

    name: str
    address: ipaddress.IPv4Interface
    has_link: bool
    is_way_out: bool


def choose_card(cards: Iterable[Card]) -> Card | None:
    """Return the interface that machines are most likely on: one with a link, that is no way out of here."""
    known = [card for card in cards if not _OF_CONTAINERS.match(card.name) and card.address.network.prefixlen <= 29]
    return min(known, key=lambda card: (card.is_way_out, not card.has_link, card.name), default=None)


def propose_range(address: ipaddress.IPv4Interface, taken: Collection[_Address]) -> tuple[_Address, _Address] | None:
    """Return the first and last address to give out: the longest run of a network that nobody is seen in, or its end.

    `taken` are addresses that somebody has. None where fewer than two are left together.
    """
    network = address.network
    spare = min(_SPARE, network.num_addresses // 4)
    first, last = int(network.network_address) + 1 + spare, int(network.broadcast_address) - 1
    held = sorted({first - 1, last + 1, *(int(each) for each in (address.ip, *taken) if first <= int(each) <= last)})
    begin, end = max(
        ((before + 1, after - 1) for before, after in pairwise(held)),
        key=lambda run: run[1] - run[0],
    )
    if end <= begin:
        return None
    return _Address(max(begin, end - RANGE_MAX + 1)), _Address(end)
