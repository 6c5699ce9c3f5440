"""Which of a machine's layers of secret files goes over which: as of those that are public, its boot card's last."""

from __future__ import annotations

from functools import partial

from leecher.boot.secret_settings import in_order
from swarmboot.release.node_overlay import NodeOverlays
from swarmboot.release.node_root import NodeFacts, node_root, secret_layers

FIRST, SECOND, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
LAYERS = {FIRST.replace(":", "-"): (), SECOND.replace(":", "-"): ()}


def test_the_card_that_a_machine_boots_by_wins_among_secret_layers_as_among_public_ones() -> None:
    for own, other in ((FIRST, SECOND), (SECOND, FIRST)):
        found = in_order({SECOND, FIRST, OTHER}, LAYERS, partial(str, own))
        layers = secret_layers(LAYERS, NodeFacts(found))
        assert layers == tuple(mac.replace(":", "-") for mac in (other, own))
        assert layers == node_root(NodeOverlays(LAYERS), NodeFacts((*sorted({other, OTHER}), own))).layers


def test_by_which_card_it_boots_is_not_asked_where_one_layer_at_most_is_its_own() -> None:
    def never() -> str:
        raise AssertionError

    assert in_order({SECOND, OTHER}, LAYERS, never) == (SECOND, OTHER)
    assert in_order(set(), LAYERS, never) == ()
