"""Whatever hosts do that are no nodes, a rack is no slower than plain HTTPS x 1.1 and two seconds.

On simulated time, with the real tracker, registry and policies. The liars are there a second before the rack.
"""

from __future__ import annotations

import pytest

from swarmboot.wire.announce import NodeState
from tests.support.liars.paper_liars import Behaviour, let_lie
from tests.support.racks.paper_rack import PIECE_BYTES, PaperRack

COMPLAINT_S = 2.0
"""What it takes at most until a node has complained and been given what others hold: patience, and a round or two."""

AT_S = 1.0
SEED = Behaviour(port=1, claims="all", state=NodeState.COMPLETE, slots=0)


def build_rack(count: int) -> PaperRack:
    return PaperRack(count, arrivals=lambda _: AT_S)


def boot_s(rack: PaperRack) -> float:
    rack.run(until_s=120)
    return max(node.done_s or 0.0 for node in rack.nodes) - AT_S


def plain_s(rack: PaperRack, clients: int) -> float:
    return clients * rack.count * PIECE_BYTES / rack.uplink


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize(
    ("behaviour", "liars", "addresses"),
    [
        pytest.param(Behaviour(), 1, 1, id="starting, says that each lease is received"),
        pytest.param(Behaviour(has_received=False), 1, 1, id="holds its leases in silence"),
        pytest.param(Behaviour(fetches="begin"), 1, 1, id="asks for the bytes and does not read them"),
        pytest.param(Behaviour(port=1, claims="all"), 1, 1, id="says that it has all, and takes leases"),
        pytest.param(Behaviour(port=1, claims="leased"), 1, 1, id="says that it has what it is leased"),
        pytest.param(SEED, 1, 1, id="says that it is a seed"),
        pytest.param(SEED, 8, 8, id="many say that they are seeds"),
        pytest.param(Behaviour(port=1, claims="all", fetches="all"), 1, 1, id="fetches some, and says that it has all"),
        pytest.param(Behaviour(every_s=0.5), 100, 1, id="many ids at one address"),
        pytest.param(Behaviour(every_s=0.25), 40, 40, id="many addresses"),
        pytest.param(Behaviour(port=1, is_starving=True, every_s=0.25), 40, 40, id="many that say that they starve"),
        pytest.param(Behaviour(fetches="begin", has_received=False), 40, 40, id="many that read no byte"),
        pytest.param(Behaviour(returns=True, every_s=0.01), 1, 1, id="gives leases back at once, again and again"),
        pytest.param(Behaviour(new_every=1), 20, 20, id="takes another id for every announce"),
        pytest.param(Behaviour(port=1, from_neighbours=1 << 40), 1, 1, id="says that neighbours bring it a lot"),
        pytest.param(Behaviour(port=1, slots=0, every_s=1.0), 200, 200, id="fills the links of every node"),
    ],
)
def test_a_rack_among_liars_is_no_slower_than_plain_https(
    count: int, behaviour: Behaviour, liars: int, addresses: int
) -> None:
    rack = build_rack(count)
    let_lie(rack, behaviour, count=liars, addresses=addresses)
    assert boot_s(rack) < 1.1 * plain_s(rack, count) + COMPLAINT_S


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize(("port", "more_s"), [(0, 0.0), (1, 1.5)])
def test_who_fetches_every_piece_and_shows_none_costs_what_one_more_client_would(
    count: int, port: int, more_s: float
) -> None:
    rack = build_rack(count)
    let_lie(rack, Behaviour(port=port, fetches="all"))
    assert boot_s(rack) < 1.1 * plain_s(rack, count + 1) + COMPLAINT_S + more_s


@pytest.mark.parametrize(
    "behaviour", [Behaviour(), Behaviour(port=1, claims="leased"), Behaviour(returns=True, every_s=0.01)]
)
def test_a_single_burner_makes_the_server_send_no_second_copy(behaviour: Behaviour) -> None:
    rack = build_rack(8)
    let_lie(rack, behaviour)
    boot_s(rack)
    assert sum(rack.sent.values()) <= 1.05 * rack.count


def test_a_burner_that_comes_into_a_rack_at_work_holds_no_more_than_a_few_leases() -> None:
    rack = PaperRack(8, pieces_count=512)
    (burner,) = let_lie(rack, Behaviour(), at_s=0.5)
    rack.run(until_s=60)
    assert len(rack.registry.nodes[burner.node].leases) <= 6
    assert sum(rack.sent.values()) <= 1.05 * rack.count


def test_three_hundred_nodes_behind_one_address_boot_exactly_as_they_would_behind_their_own() -> None:
    apart, together = PaperRack(300, pieces_count=24), PaperRack(300, pieces_count=24, host=lambda _: "10.0.0.1")
    for rack in (apart, together):
        rack.run(until_s=60)
    assert [node.done_s for node in apart.nodes] == [node.done_s for node in together.nodes]
    assert apart.sent == together.sent


def test_a_rack_behind_one_address_is_not_held_up_by_a_burner_behind_it_or_elsewhere() -> None:
    for burner_host in ("10.0.0.1", "10.9.9.9"):
        rack = PaperRack(40, host=lambda _: "10.0.0.1", arrivals=lambda _: AT_S)
        for liar in let_lie(rack, Behaviour(), count=4):
            liar.host = burner_host
        assert boot_s(rack) < 1.5 * plain_s(rack, 1) + COMPLAINT_S
