"""Flow completion times on random small networks: ours against SimGrid's (Casanova et al., JPDC 2014), within 2 %."""

from __future__ import annotations

import json
import math
import random
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from netsim.fluid.engine import Engine
from netsim.fluid.topology import Topology
from netsim.scenario.arrays import Floats, Ints
from netsim.scenario.scenario import Network

PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("simgrid_flows.py")
BOUND_S = 120

NetworkOfFlows = tuple[list[float], list[tuple[int, list[int]]]]


@pytest.fixture(scope="module", autouse=True)
def _simgrid() -> None:
    probe = subprocess.run([PYTHON, "-c", "import simgrid"], capture_output=True, timeout=BOUND_S, check=False)
    if probe.returncode != 0:
        pytest.skip("they need python3-simgrid, not installed here")


class FixedPaths(Topology):
    """A topology whose sender number i sends over the i-th given path, whatever the receiver."""

    def __init__(self, capacity: list[float], paths: list[list[int]]) -> None:
        super().__init__(Network(goodput=1.0), np.ones(len(paths)), np.zeros(len(paths), np.int64))
        width = max(map(len, paths))
        nowhere = len(capacity)
        self.capacity: Floats = np.array([*capacity, math.inf])
        self._fixed: Ints = np.array([[*path, *[nowhere] * (width - len(path))] for path in paths])

    def paths(self, senders: Ints, receivers: Ints) -> Ints:  # noqa: ARG002 - a topology's signature
        return np.ascontiguousarray(self._fixed[senders].T)


def our_times(network: NetworkOfFlows) -> list[float]:
    capacity, flows = network
    engine = Engine(FixedPaths(capacity, [path for _, path in flows]), tick_s=1e-6)
    times = [math.nan] * len(flows)

    def note(number: int, now_s: float) -> float:
        times[number] = now_s
        return 0.0

    for number, (size_bytes, _) in enumerate(flows):
        engine.start(number, number, size_bytes, partial(note, number))
    engine.run(until_s=math.inf, is_over=lambda: not any(map(math.isnan, times)))
    return times


def simgrid_times(network: NetworkOfFlows) -> list[float]:
    capacity, flows = network
    question = json.dumps({"capacity": capacity, "flows": flows})
    done = subprocess.run(
        [PYTHON, str(SCRIPT)], input=question, capture_output=True, text=True, timeout=BOUND_S, check=True
    )
    times: list[float] = json.loads(done.stdout.splitlines()[-1])
    return times


def random_network(seed: int) -> NetworkOfFlows:
    """Return racks of nodes behind uplinks, with flows inside and between racks, and a server at the core."""
    dice = random.Random(seed)
    racks, nodes = dice.randint(1, 4), dice.randint(4, 16)
    nics = [dice.choice([1e6, 2e6, 10e6]) for _ in range(nodes)]
    uplinks = [dice.choice([3e6, 8e6, 40e6]) for _ in range(racks)]
    capacity = [dice.choice([5e6, 20e6]), *nics, *nics, *uplinks, *uplinks]
    flows = []
    for _ in range(dice.randint(5, 40)):
        sender, receiver = dice.randrange(-1, nodes), dice.randrange(nodes)
        if sender == receiver:
            continue
        path = [0] if sender < 0 else [1 + sender]
        if sender >= 0 and sender % racks != receiver % racks:
            path.append(1 + 2 * nodes + sender % racks)
        if sender < 0 or sender % racks != receiver % racks:
            path.append(1 + 2 * nodes + racks + receiver % racks)
        flows.append((dice.randint(1, 50) * 1_000_000, [*path, 1 + nodes + receiver]))
    return capacity, flows


@pytest.mark.parametrize("seed", range(12))
def test_flows_end_when_simgrid_says(seed: int) -> None:
    network = random_network(seed)
    assert our_times(network) == pytest.approx(simgrid_times(network), rel=0.02)
