"""The limit: no scheme can have every node up sooner. A fluid bound with stage 0, from the fleet as drawn.

Follows Kumar and Ross, "Peer-assisted file distribution: the minimum distribution time" (HotWeb 2006), whose terms are
`F/u_server`, `F/d_node` and `N*F / (u_server + sum u_node)`, with what a whole boot adds: a node asks for stage 0 (S
bytes) when its loader is ready, can send only after stage 0 and its kernel's start, and still has its own hand-off and
services before it. Rates are raw, so headers alone keep every program above 1.00. Docs: docs/netsim.md.
"""

from __future__ import annotations

import numpy as np

from netsim.scenario.fleet import Fleet
from netsim.scenario.scenario import Scenario

_MAX_STEPS = 2_000_000


def limit_s(scenario: Scenario, fleet: Fleet) -> float:
    """Return the least time in seconds at which the last node can be up."""
    release, network, phases = scenario.release, scenario.network, fleet.phases
    asks_s, nics = fleet.asks_at_s, fleet.nic_bytes_per_s
    sources = network.servers * network.server_bytes_per_s + network.mirrors * network.mirror_bytes_per_s
    stage0, images, total = release.stage0_bytes, release.image_bytes, release.total_bytes
    after_s = images / fleet.verify_bytes_per_s + phases["hand_off"] + phases["services"]
    rest_s = phases["kernel"] + images / nics + after_s
    bounds = [
        float((asks_s + stage0 / nics + rest_s).max()),
        float(asks_s.min()) + total / sources + float(after_s.min()),
    ]
    stage0_s, all_s = _filled_s(scenario, fleet, sources)
    bounds += [stage0_s + float(rest_s.min()), all_s + float(after_s.min())]
    uplink = network.rack_uplink_bytes_per_s
    if network.racks > 1 and uplink is not None:
        imported_s = max(total / uplink, network.racks * total / (sources + (network.racks - 1) * uplink))
        bounds.append(float(asks_s.min()) + imported_s + float(after_s.min()))
    return max(bounds)


def _filled_s(scenario: Scenario, fleet: Fleet, sources: float) -> tuple[float, float]:
    """Return when all senders together can have sent every node its stage 0, and everything.

    A node sends from `kernel` after its own stage 0 on. By `t` no more nodes have stage 0 than are ready for it, and
    no more than the bytes sent by then make whole copies of; the fastest NICs are taken to boot first.
    """
    release = scenario.release
    stage0, wanted = release.stage0_bytes, fleet.nodes * release.total_bytes
    nics = np.sort(fleet.nic_bytes_per_s)[::-1]
    uploads = np.concatenate([[0.0], np.cumsum(nics)])
    ready_s = np.sort(fleet.asks_at_s + stage0 / fleet.nic_bytes_per_s)
    kernel_s = float(fleet.phases["kernel"].min())
    now_s = begin_s = float(fleet.asks_at_s.min())
    step_s = max(1e-5, min(0.01, wanted / (sources + uploads[-1]) / 500))
    sent, history = 0.0, [0.0]
    delay = round(kernel_s / step_s)
    stage0_s = begin_s if not stage0 else None
    for _ in range(_MAX_STEPS):
        if sent >= wanted:
            break
        then = history[len(history) - 1 - delay] if len(history) > delay else 0.0
        booted = int(np.searchsorted(ready_s, now_s - kernel_s, side="right"))
        if stage0:
            booted = min(booted, int(then / stage0)) if then else 0
        sent += (sources + float(uploads[min(booted, fleet.nodes)])) * step_s
        now_s += step_s
        history.append(sent)
        if stage0_s is None and sent >= fleet.nodes * stage0:
            stage0_s = now_s
    return now_s if stage0_s is None else stage0_s, now_s
