"""The scenario that the flags of `netsim.scenario.options` make: a file's, or the default one, with changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from netsim.scenario.scenario import Faults, Network, Release, Scenario
from netsim.scenario.site_sizes import sizes_of_site
from netsim.scenario.spread import parse_spread
from netsim.scenario.toml import parse_share, read_scenario
from swarmboot.errors import MalformedSettingError, ScenarioError
from swarmboot.text.units import parse_duration, parse_rate, parse_size

EXAMPLES = Path(__file__).parent / "examples"
"""The scenarios that come with swarmboot; `--scenario` knows them by name too."""


def scenario_of(given: dict[str, Any]) -> Scenario:
    """Return the scenario that the flags describe, checked; raise SettingsError naming the flag or key."""
    scenario = read_scenario(_scenario_path(given["file"])) if given["file"] else Scenario()
    for name in ("nodes", "seed"):
        if given[name] is not None:
            scenario = replace(scenario, **{name: given[name]})
    scenario = replace(
        scenario,
        release=_release(scenario.release, given),
        network=_network(scenario.network, scenario.nodes, given),
        faults=_faults(scenario.faults, given),
    )
    if given["power_on"]:
        power_on = _flag("power_on", parse_spread, given["power_on"])
        scenario = replace(scenario, phases={**scenario.phases, "power_on": power_on})
    return scenario.check()


def _scenario_path(path: Path) -> Path:
    """Return the file, or the example of that name if there is no such file."""
    example = EXAMPLES / f"{path.name}.toml"
    return example if not path.exists() and example.is_file() else path


def _flag(name: str, parse: Callable[[str], Any], text: str) -> Any:
    """Return a parsed flag; its refusal names the flag."""
    try:
        return parse(text)
    except MalformedSettingError as error:
        flag = f"--{name.replace('_', '-')}"
        raise MalformedSettingError(f"{flag}: {error.what}", expected=error.expected, found=repr(text)) from error


def _release(release: Release, given: dict[str, Any]) -> Release:
    if given["site"]:
        release = sizes_of_site(given["site"])
    if given["image"] is not None:
        release = replace(release, images=(_flag("image", parse_size, given["image"]),))
    for name in ("kernel", "initramfs"):
        if given[name] is not None:
            release = replace(release, **{f"{name}_bytes": _flag(name, parse_size, given[name])})
    scale = given["release_scale"]
    if scale is None:
        return release
    if not 0 < scale < math.inf:
        raise MalformedSettingError("--release-scale is out of range", expected="more than 0", found=str(scale))
    return replace(
        release,
        images=tuple(round(size * scale) for size in release.images),
        kernel_bytes=round(release.kernel_bytes * scale),
        initramfs_bytes=round(release.initramfs_bytes * scale),
    )


def _network(network: Network, nodes: int, given: dict[str, Any]) -> Network:
    changes: dict[str, Any] = {name: given[name] for name in ("racks", "servers", "mirrors") if given[name] is not None}
    for name, field in (
        ("node_nic", "node"),
        ("server_nic", "server"),
        ("mirror_nic", "mirror"),
        ("rack_uplink", "rack_uplink"),
    ):
        if given[name] is not None:
            changes[f"{field}_bytes_per_s"] = _flag(name, parse_rate, given[name])
    if given["server_nic"] is not None and given["mirror_nic"] is None:
        changes["mirror_bytes_per_s"] = changes["server_bytes_per_s"]
    if given["latency"] is not None:
        changes["latency_s"] = _flag("latency", parse_duration, given["latency"])
    per_rack = given["nodes_per_rack"]
    if per_rack is not None:
        if per_rack < 1:
            raise ScenarioError("--nodes-per-rack is out of range", expected="1 or more", found=str(per_rack))
        changes["racks"] = -(-nodes // per_rack)
    network = replace(network, **changes)
    factor = given["oversubscription"]
    if factor is None:
        return network
    if not 0 < factor < math.inf:
        raise ScenarioError("--oversubscription is out of range", expected="more than 0", found=str(factor))
    uplink = network.node_bytes_per_s * -(-nodes // max(1, network.racks)) / factor
    return replace(network, rack_uplink_bytes_per_s=uplink)


def _faults(faults: Faults, given: dict[str, Any]) -> Faults:
    changes: dict[str, Any] = {}
    if given["server_dies_at"] is not None:
        changes["server_dies_at_s"] = _flag("server_dies_at", parse_duration, given["server_dies_at"])
    for name, field in (("corrupt", "corrupt_share"), ("die", "dead_share")):
        if given[name] is not None:
            changes[field] = _flag(name, parse_share, given[name])
    if given["slow_racks"]:
        changes["slow_racks"] = dict(parse_slow_rack(text) for text in given["slow_racks"])
    return replace(faults, **changes)


def parse_slow_rack(text: str) -> tuple[int, float]:
    """Return rack and rate of `R:RATE`; raise MalformedSettingError otherwise."""
    rack, colon, rate = text.partition(":")
    if not colon or not rack.isascii() or not rack.isdigit():
        raise MalformedSettingError("--slow-rack is malformed", expected="R:RATE, as in 3:100mbit", found=repr(text))
    return int(rack), float(_flag("slow_rack", parse_rate, rate))


def parse_sweep(text: str) -> tuple[int, ...]:
    """Return the fleet sizes of `nodes=50,100,500`; raise MalformedSettingError otherwise."""
    key, _, values = text.partition("=")
    sizes = values.split(",")
    if key != "nodes" or not all(size.isascii() and size.isdigit() for size in sizes):
        raise MalformedSettingError("--sweep is malformed", expected="nodes=50,100,500", found=repr(text))
    return tuple(int(size) for size in sizes)
