"""`swarmboot simulate` of nodes that go on before their images are whole, beside nodes that wait for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leecher.policy.demands import Demands, TellRequest
from netsim.scenario.scenario import Network, Release, Scenario
from netsim.study.result import SimulationResult, result_of, sentence
from netsim.study.simulation import simulate

FLEET = Scenario(
    nodes=16,
    release=Release(images=(200_000_000, 20_000_000), kernel_bytes=0, initramfs_bytes=0),
    network=Network(node_bytes_per_s=25e6, server_bytes_per_s=25e6),
)


def run(scenario: Scenario, strategy: str) -> SimulationResult:
    return result_of(scenario, simulate(scenario, strategy))


def last_s(result: SimulationResult, phase: str) -> float:
    took_s = result.phases[phase].last_s
    assert took_s is not None
    return took_s


def test_nodes_that_go_on_early_are_up_long_before_and_have_all_of_it_as_soon_from_as_few_copies() -> None:
    plain, lazy = (run(FLEET, name) for name in ("swarmboot", "swarmboot-lazy"))
    assert lazy.up == FLEET.nodes
    assert last_s(lazy, "images") < 0.3 * last_s(plain, "images")
    assert plain.whole_s.last_s is not None
    assert lazy.whole_s.last_s is not None
    assert lazy.whole_s.last_s < 1.05 * plain.whole_s.last_s
    assert lazy.server_copies < 1.06 * plain.server_copies
    assert "that with swarmboot.lazy=on would take" in sentence([plain, lazy])


def test_what_a_trace_does_not_name_is_asked_for_by_the_products_own_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deaf to its reads a node has what these want only when that comes by itself."""
    scenario = replace(FLEET, release=replace(FLEET.release, unforeseen_share=0.2))
    told = 0
    requests = Demands.requests

    def listen(demands: Demands, *, now_s: float) -> list[object]:
        nonlocal told
        found = requests(demands, now_s=now_s)
        told += sum(isinstance(request, TellRequest) for request in found)
        return [*found]

    monkeypatch.setattr(Demands, "requests", listen)
    heard = run(scenario, "swarmboot-lazy")
    assert told > FLEET.nodes
    monkeypatch.setattr(Demands, "requests", lambda demands, now_s: requests(demands, now_s=now_s)[:0])
    deaf = run(scenario, "swarmboot-lazy")
    assert heard.up == deaf.up == FLEET.nodes
    assert last_s(heard, "images") < 0.85 * last_s(deaf, "images")


def test_nodes_are_up_though_the_server_dies_once_it_has_sent_what_a_boot_reads() -> None:
    faults = replace(FLEET.faults, server_dies_at_s=22.0)
    result = run(replace(FLEET, faults=faults), "swarmboot-lazy")
    assert result.up == FLEET.nodes
    assert result.whole_s.last_s is None
