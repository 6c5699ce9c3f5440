"""Who is introduced to whom: whole racks connected evenly, racks connected to each other, whoever dies."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from seeder.policy import introductions
from seeder.policy.facts.registry import Registry
from seeder.policy.limits import Limits
from swarmboot.ids import NodeId
from tests.support.registry import LIMITS, PIECE, SLOW, build_registry, observe


def introduce(
    registry: Registry,
    names: Iterable[int],
    random: Random,
    *,
    racks: int = 1,
    now_s: float = 0.0,
    limits: Limits = LIMITS,
) -> None:
    """Have each node announce once and be linked to those it is given."""
    for name in names:
        node = observe(registry, name, rack=f"r{name % racks}", now_s=now_s)
        for other in introductions.choose_neighbours(registry, node, limits=limits, random=random):
            registry.link(node, other)


def is_one_graph(registry: Registry) -> bool:
    """Return whether every node can be reached from any other over links."""
    seen, front = set[NodeId](), [next(iter(registry.nodes))]
    while front:
        reached = front.pop()
        if reached not in seen:
            seen.add(reached)
            front += registry.nodes[reached].links
    return len(seen) == len(registry.nodes)


def test_everyone_in_a_small_rack_meets_everyone() -> None:
    registry = build_registry()
    introduce(registry, range(1, 9), Random(1))
    assert all(len(node.links) == 7 for node in registry.nodes.values())


@pytest.mark.parametrize("count", [16, 32, 64, 500])
def test_no_node_of_a_rack_has_many_more_connections_than_another(count: int) -> None:
    registry = build_registry()
    random = Random(1)
    for _ in range(2):
        introduce(registry, range(1, count + 1), random)
    links = sorted(len(node.links) for node in registry.nodes.values())
    assert links[0] >= LIMITS.rack_links - 1
    assert links[-1] <= 1.5 * LIMITS.rack_links
    assert sum(links) <= 1.25 * LIMITS.rack_links * count


@pytest.mark.parametrize("limits", [LIMITS, SLOW], ids=["fast", "slow"])
@pytest.mark.parametrize("count", [16, 32, 64, 500])
def test_while_a_rack_grows_no_node_has_much_less_than_its_share_of_the_others_uplinks(
    count: int, limits: Limits
) -> None:
    registry = build_registry()
    random = Random(1)
    for name in range(1, count + 1):
        introduce(registry, [name, *random.choices(range(1, name + 1), k=3)], random, limits=limits)
    for _ in range(5):
        introduce(registry, range(1, count + 1), random, now_s=0.5, limits=limits)
    nodes = registry.nodes.values()
    shares = [sum(1.0 / len(registry.nodes[link].links) for link in node.links) for node in nodes]
    assert sum(shares) == pytest.approx(count)
    assert min(shares) > 0.75


def test_where_links_are_slow_a_rack_has_few_connections_until_everybody_has_come() -> None:
    registry = build_registry()
    random = Random(1)

    def links() -> float:
        return sum(len(node.links) for node in registry.nodes.values()) / 64

    introduce(registry, range(1, 65), random, limits=SLOW)
    introduce(registry, range(1, 65), random, now_s=0.5, limits=SLOW)
    assert links() < LIMITS.rack_links
    for now_s in range(2, 8):
        introduce(registry, range(1, 65), random, now_s=now_s, limits=SLOW)
    assert min(len(node.links) for node in registry.nodes.values()) >= LIMITS.rack_links <= links() < 10


@pytest.mark.parametrize("piece_s", [0.005, 0.02])
def test_where_links_are_not_slow_it_has_all_at_once(piece_s: float) -> None:
    registry = build_registry()
    random = Random(1)
    limits = Limits(uplink_bytes_per_s=PIECE / piece_s)
    for _ in range(2):
        introduce(registry, range(1, 17), random, limits=limits)
    assert min(len(node.links) for node in registry.nodes.values()) >= LIMITS.rack_links - 1


@pytest.mark.parametrize("seed", range(5))
def test_thousands_of_nodes_in_many_racks_stay_one_graph_of_bounded_degree(seed: int) -> None:
    registry = build_registry()
    random = Random(seed)
    for _ in range(2):
        introduce(registry, range(1, 2001), random, racks=50)
    for dead in random.sample(sorted(registry.nodes), 600):
        registry.forget(dead)
    assert is_one_graph(registry)
    assert max(len(node.links) for node in registry.nodes.values()) <= LIMITS.links_most + LIMITS.rack_links


@pytest.mark.parametrize("seed", range(5))
def test_thousands_of_newcomers_of_which_many_die_at_once_are_one_graph_with_their_next_announce(seed: int) -> None:
    registry = build_registry()
    random = Random(seed)
    introduce(registry, range(1, 2001), random, racks=50)
    assert is_one_graph(registry)
    dead = set(random.sample(range(1, 2001), 600))
    for name in dead:
        registry.forget(observe(registry, name, rack=f"r{name % 50}").id)
    introduce(registry, [name for name in range(1, 2001) if name not in dead], random, racks=50)
    assert is_one_graph(registry)


def test_own_rack_comes_first() -> None:
    registry = build_registry()
    for name in range(1, 41):
        observe(registry, name, rack="near" if name % 2 else "far")
    node = observe(registry, 41, rack="near")
    chosen = introductions.choose_neighbours(registry, node, limits=LIMITS, random=Random(1))
    near = sum(other.rack == "near" for other in chosen)
    assert near == LIMITS.rack_neighbours
    assert 0 < len(chosen) - near <= LIMITS.far_neighbours


@pytest.mark.parametrize(("size", "links"), [(6, 4), (40, 20)])
def test_half_of_a_racks_nodes_are_linked_to_other_racks_but_four_at_least(size: int, links: int) -> None:
    registry = build_registry()
    random = Random(1)
    for name in range(1, 2 * size + 1):
        observe(registry, name, rack=f"r{name % 2}")
    for node in list(registry.nodes.values()):
        for other in introductions.choose_neighbours(registry, node, limits=LIMITS, random=random):
            registry.link(node, other)
    assert registry.far_links == {"r0": links, "r1": links}
    registry.forget(next(node.id for node in registry.nodes.values() if node.near_links < len(node.links)))
    assert registry.far_links["r0"] == registry.far_links["r1"] < links


def test_a_node_that_starves_is_given_others() -> None:
    registry = build_registry()
    for name in range(1, 21):
        observe(registry, name)
    random = Random(1)
    met = set[NodeId]()
    for is_starving in (False, False, False, True, True):
        node = observe(registry, 21, is_starving=is_starving)
        chosen = introductions.choose_neighbours(registry, node, limits=LIMITS, random=random)
        assert met.isdisjoint(other.id for other in chosen)
        assert bool(chosen) == (is_starving or len(met) < LIMITS.rack_links)
        met |= {other.id for other in chosen}
        for other in chosen:
            registry.link(node, other)
    assert len(met) > LIMITS.rack_links
