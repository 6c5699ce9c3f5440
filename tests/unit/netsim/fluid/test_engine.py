"""What a server's link carries, and how transfers share it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leecher.neighbour.http_server import AFTER_NODES_S
from netsim.delivery.stage0_loads import NODE_FIRST_S
from netsim.fluid.engine import HEADROOM, STREAM_SHARES, Engine
from netsim.fluid.topology import Topology
from netsim.scenario.arrays import Floats, Ints
from netsim.scenario.scenario import Network
from seeder.http import pacer

RATE, FOR_S = 1e6, 10.0
AWAITED = 4 * STREAM_SHARES


class NoPieces:
    """An exchange in which nobody sends anything: what shares a link are transfers."""

    is_busy = False
    unsent: Floats = np.zeros(3)

    def open_flows(self, _now_s: float) -> tuple[Ints, Ints]:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)

    def horizon_s(self, _rates: Floats) -> float:
        return math.inf

    def advance(self, _now_s: float, _duration_s: float, _rates: Floats) -> None:
        pass


@pytest.fixture
def engine() -> Engine:
    network = Network(server_bytes_per_s=RATE, node_bytes_per_s=RATE, goodput=1.0)
    return Engine(Topology(network, np.full(2, RATE), np.zeros(2, np.int64)), tick_s=0.01, exchange=NoPieces())


def sent(engine: Engine, *shares: int) -> float:
    """Return what the server has sent when it had a transfer of these shares to each node for so long."""
    for node, share in enumerate(shares):
        engine.start(2, node, 1e9, lambda _now_s: 0.0, shares=share)
    engine.at(FOR_S, lambda _now_s: None)
    engine.run(until_s=FOR_S, is_over=lambda: False)
    return float(engine.sent[2])


def test_a_server_keeps_headroom_while_what_is_awaited_goes_out_beside_what_is_not(engine: Engine) -> None:
    assert sent(engine, AWAITED, STREAM_SHARES) == pytest.approx(HEADROOM * RATE * FOR_S, rel=0.01)


@pytest.mark.parametrize("shares", [(AWAITED, AWAITED), (STREAM_SHARES, STREAM_SHARES), (AWAITED,)])
def test_a_server_with_one_kind_to_send_fills_its_link(engine: Engine, shares: tuple[int, ...]) -> None:
    assert sent(engine, *shares) == pytest.approx(RATE * FOR_S, rel=0.01)


def test_the_simulated_server_and_neighbour_keep_to_what_the_real_ones_do() -> None:
    assert (HEADROOM, NODE_FIRST_S) == (pacer.HEADROOM, AFTER_NODES_S)


def test_a_transfer_that_weighs_less_from_a_moment_on_has_less_of_the_link(engine: Engine) -> None:
    first = engine.start(0, 1, 1e9, lambda _now_s: 0.0, shares=3 * AWAITED)
    other = engine.start(0, 2, 1e9, lambda _now_s: 0.0, shares=AWAITED)
    engine.at(FOR_S / 2, lambda _now_s: engine.weigh(first, AWAITED))
    engine.at(FOR_S, lambda _now_s: None)
    engine.run(until_s=FOR_S, is_over=lambda: False)
    assert (1e9 - engine.stop(first)) / (1e9 - engine.stop(other)) == pytest.approx(5 / 3, rel=0.01)


def test_what_has_ended_has_nothing_left_and_weighs_nothing(engine: Engine) -> None:
    transfer = engine.start(2, 0, 1e3, lambda _now_s: 0.0)
    engine.run(until_s=FOR_S, is_over=lambda: False)
    engine.weigh(transfer, AWAITED)
    assert engine.stop(transfer) == 0.0
