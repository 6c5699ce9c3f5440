"""Completion times of flows by SimGrid: a JSON network on standard input, JSON times on standard output.

Run by Debian's own Python, which has SimGrid's binding (python3-simgrid). The network is
{"capacity": [bytes per second, ..], "flows": [[bytes, [links]], ..]}; every flow starts at 0 between hosts of its own.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import simgrid  # type: ignore[import-not-found]  # only Debian's own Python has it

OPTIONS = [
    "--log=root.threshold:critical",
    "--cfg=network/model:CM02",
    "--cfg=network/optim:Full",
    "--cfg=maxmin/precision:1e-9",
    "--cfg=network/TCP-gamma:0",
    "--cfg=network/crosstraffic:0",
]


def completion_times(network: dict[str, Any]) -> list[float]:
    """Return the moment in seconds at which each flow is through."""
    engine = simgrid.Engine(["simgrid_flows", *OPTIONS])
    zone = simgrid.NetZone.create_full_zone("net")
    links = [
        zone.create_link(f"link{i}", float(rate)).set_latency(0).seal() for i, rate in enumerate(network["capacity"])
    ]
    ends = []
    for number, (_, path) in enumerate(network["flows"]):
        sender, receiver = (zone.create_host(f"{role}{number}", 1e9).seal() for role in ("from", "to"))
        route = [simgrid.LinkInRoute(links[link]) for link in path]
        zone.add_route(sender.netpoint, receiver.netpoint, None, None, route, False)
        ends.append((sender, receiver))
    zone.seal()
    times = [0.0] * len(ends)

    def move(number: int) -> None:
        sender, receiver = ends[number]
        simgrid.Comm.sendto(sender, receiver, int(network["flows"][number][0]))
        times[number] = simgrid.Engine.clock

    for number, (sender, _) in enumerate(ends):
        simgrid.Actor.create(f"flow{number}", sender, move, number)
    engine.run()
    return times


print(json.dumps(completion_times(json.load(sys.stdin))))
