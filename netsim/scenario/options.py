"""The flags that describe a fleet. It imports no model: what they come to is in `netsim.scenario.from_flags`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

Command = Callable[..., None]

_RATES = {
    "node_nic": "Each node's link, both ways.",
    "server_nic": "Each server's link, both ways.",
    "rack_uplink": "Each rack's link to the core, both ways.",
}
_SIZES = {
    "image": "Root image and plugins together.",
    "kernel": "The kernel, part of stage 0.",
    "initramfs": "The initramfs, part of stage 0.",
}

_OPTIONS = (
    click.option("--nodes", type=int, help="How many nodes boot.  [default: 500]"),
    click.option("--scenario", "file", type=click.Path(path_type=Path), help="A TOML file or an example's name."),
    click.option("--site", type=click.Path(path_type=Path), help="Take all sizes from this published site."),
    click.option("--seed", type=int, help="The same seed gives the same answer.  [default: 1]"),
    click.option("--racks", type=int, help="How many racks the nodes fill.  [default: 1]"),
    click.option("--nodes-per-rack", type=int, help="Instead of --racks."),
    click.option("--oversubscription", type=float, help="Instead of --rack-uplink: a rack's NICs over its uplink."),
    click.option("--servers", type=int, help="How many servers share the work.  [default: 1]"),
    click.option("--mirrors", type=int, help="How many static mirrors help with the images.  [default: 0]"),
    click.option("--mirror-nic", help="Each mirror's link, both ways.  [default: as the server's]"),
    click.option("--latency", help="One way between any two machines.  [default: 0.2ms]"),
    click.option("--power-on", help="When nodes are powered on, as in '5s', 'uniform 0s 60s' or 'every 0.1s'."),
    click.option("--release-scale", type=float, help="Multiply all sizes, as in 2 for a release twice the size."),
    click.option("--server-dies-at", help="The first server and its seeder die this long after the first power-on."),
    click.option("--slow-rack", "slow_racks", multiple=True, metavar="R:RATE", help="Rack R's uplink. Repeatable."),
    click.option("--corrupt", help="Share of nodes that send corrupt blocks, as in 1%."),
    click.option("--die", help="Share of nodes that die within a minute of their power-on, as in 1%."),
)  # fmt: skip


def with_scenario_options(command: Command) -> Command:
    """Return the command with the flags of a fleet."""
    for name, text in reversed({**_RATES, **_SIZES}.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, help=text)(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
