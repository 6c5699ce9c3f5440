"""What the best order of loads can give a simulated fleet: `python -m tests.bench.stage0_bound [--seed S]`.

Each sender is always busy with one load, at the whole rate of its link; who asks first is served first. A node serves
as soon as its kernel and leecher have started, it has a manifest and has fetched the kernel once more. Its images are
in nobody's way and take as long as its own link needs. Prints when the last node has stage 0, and when it is up.
"""

from __future__ import annotations

import argparse
import heapq
from dataclasses import replace

from netsim.scenario.fleet import draw_fleet
from netsim.scenario.scenario import Scenario


def bound_s(scenario: Scenario) -> tuple[float, float]:
    """Return when the last node has its stage 0, and when the last one is up, in seconds after the first power-on."""
    fleet, release = draw_fleet(scenario), scenario.release
    rates = fleet.nic_bytes_per_s * scenario.network.goodput
    phases = fleet.phases
    start_s = phases["kernel"] + phases["leecher_start"] + phases["manifest"]
    images_s = release.image_bytes / rates + release.image_bytes / fleet.verify_bytes_per_s
    rest_s = start_s + images_s + phases["hand_off"] + phases["services"]
    server_rate = scenario.network.server_bytes_per_s * scenario.network.goodput
    senders = [(0.0, server_rate)]
    last_s = up_s = 0.0
    for node in fleet.asks_at_s.argsort():
        free_s, rate = heapq.heappop(senders)
        loaded_s = max(free_s, float(fleet.asks_at_s[node])) + release.stage0_bytes / min(rate, float(rates[node]))
        heapq.heappush(senders, (loaded_s, rate))
        serves_s = loaded_s + float(start_s[node]) + release.kernel_bytes / float(rates[node])
        heapq.heappush(senders, (serves_s, float(rates[node])))
        last_s, up_s = max(last_s, loaded_s), max(up_s, loaded_s + float(rest_s[node]))
    return last_s, up_s


def main() -> None:
    """Print the bound of a fleet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    last_s, up_s = bound_s(replace(Scenario(), nodes=given.nodes, seed=given.seed).check())
    print(
        f"{given.nodes} nodes, seed {given.seed}: stage 0 is everywhere after {last_s:.2f} s, all up after {up_s:.2f} s"
    )


if __name__ == "__main__":
    main()
