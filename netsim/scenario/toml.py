"""Reads a scenario from TOML: every key known, every value checked, every refusal one line that names the key.

    name, nodes, seed, rendezvous, timeout, verify
    [release]      images, kernel, initramfs, piece, read, unforeseen
    [network]      node_nic, server_nic, servers, mirrors, mirror_nic, racks, nodes_per_rack, rack_uplink,
                   oversubscription, latency, goodput
    [phases]       power_on, firmware, dhcp, loader, kernel, leecher_start, manifest, hand_off, services
    [hardware.X]   share, nic, slowness, verify
    [faults]       server_dies_at, dead, dead_within, corrupt, slow_racks, kill
    [admission]    server_slots, neighbour_slots, early, kept

Sizes, rates and durations are text with units, as on the command line; docs/netsim.md has the table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from netsim.scenario.scenario import DEFAULT_PHASES, Admission, Faults, Hardware, Network, Release, Scenario
from netsim.scenario.spread import parse_spread
from swarmboot.errors import MalformedSettingError, ScenarioError
from swarmboot.text.spelling import did_you_mean
from swarmboot.text.toml import TomlError, parse_toml
from swarmboot.text.units import parse_duration, parse_rate, parse_size

T = TypeVar("T")


def read_scenario(path: Path) -> Scenario:
    """Return the scenario in a file, checked; raise ScenarioError naming the key that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        return parse_scenario(text)
    except TomlError as error:
        raise ScenarioError(f"{path} is not TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path} is not TOML", expected="UTF-8 text") from error
    except OSError as error:
        hint = "name a file in TOML, or an example, as gpu-farm-500"
        raise ScenarioError(f"{path} cannot be read: {error.strerror or error}", hint=hint) from error


def parse_scenario(text: str) -> Scenario:
    """Return the scenario that TOML text describes, checked; what it leaves out is as `Scenario` says."""
    root = _Table(parse_toml(text))
    nodes = root.take("nodes", _whole, Scenario().nodes)
    scenario = Scenario(
        nodes=nodes,
        seed=root.take("seed", _whole, Scenario().seed),
        name=root.take("name", _text, ""),
        release=_release(root.table("release")),
        network=_network(root.table("network"), nodes),
        phases=_phases(root.table("phases")),
        hardware=_hardware(root.table("hardware")),
        faults=_faults(root.table("faults")),
        admission=_admission(root.table("admission")),
        verify_bytes_per_s=root.take("verify", _rate, Scenario().verify_bytes_per_s),
        rendezvous_s=root.take("rendezvous", _duration, Scenario().rendezvous_s),
        timeout_s=root.take("timeout", _duration, Scenario().timeout_s),
    )
    root.end()
    return scenario.check()


class _Table:
    """A TOML table whose keys are taken one by one, so that those left over are unknown."""

    def __init__(self, values: Mapping[str, Any], name: str = "") -> None:
        self.name = name
        self._values = dict(values)
        self._known: list[str] = []

    def key(self, key: str) -> str:
        """Return a key's full name."""
        return f"{self.name}.{key}" if self.name else key

    def take(self, key: str, convert: Callable[[Any], T], default: T) -> T:
        """Return a key's converted value, or the default without it."""
        self._known.append(key)
        if key not in self._values:
            return default
        return _converted(self.key(key), convert, self._values.pop(key))

    def table(self, key: str) -> _Table:
        """Return a table in this one; empty without it."""
        return _Table(self.take(key, _mapping, {}), self.key(key))

    def rest(self) -> dict[str, Any]:
        """Take all keys that are left."""
        rest, self._values = self._values, {}
        return rest

    def end(self) -> None:
        """Raise ScenarioError if there is a key that nobody took."""
        for key in self._values:
            raise ScenarioError(
                f"scenario key {self.key(key)} is unknown",
                expected=f"one of {', '.join(self._known)}",
                hint=did_you_mean(key, self._known),
            )


def _converted(key: str, convert: Callable[[Any], T], value: Any) -> T:
    try:
        return convert(value)
    except MalformedSettingError as error:
        raise ScenarioError(
            f"scenario key {key}: {error.what}", expected=error.expected, found=repr(value)[:80]
        ) from error


def _refuse(what: str, expected: str) -> MalformedSettingError:
    return MalformedSettingError(what, expected=expected)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _refuse("not a text", 'a text in quotes, as in "8s"')
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _refuse("not a whole number", "a whole number, as in 500")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse("not a truth", "true or false")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _refuse("not a number", "a number, as in 0.5")
    return float(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _refuse("not a table", "a table of keys and values")
    return value


def _rate(value: Any) -> float:
    return parse_rate(_text(value))


def _size(value: Any) -> int:
    return parse_size(str(value) if isinstance(value, int) else _text(value))


def _sizes(value: Any) -> tuple[int, ...]:
    return tuple(_size(each) for each in (value if isinstance(value, list) else [value]))


def _duration(value: Any) -> float:
    return parse_duration(str(value) if isinstance(value, int | float) else _text(value))


def parse_share(value: Any) -> float:
    """Return 0.05 for `5%` or 0.05; raise MalformedSettingError otherwise."""
    text = str(value).strip()
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise MalformedSettingError("not a share", expected="5% or 0.05", found=repr(value)[:80]) from error
    if not math.isfinite(share):
        raise MalformedSettingError("not a share", expected="5% or 0.05", found=repr(value)[:80])
    return share


def _release(table: _Table) -> Release:
    plain = Release()
    release = Release(
        images=table.take("images", _sizes, plain.images),
        kernel_bytes=table.take("kernel", _size, plain.kernel_bytes),
        initramfs_bytes=table.take("initramfs", _size, plain.initramfs_bytes),
        piece_bytes=table.take("piece", _size, 0) or None,
        read_share=table.take("read", parse_share, plain.read_share),
        unforeseen_share=table.take("unforeseen", parse_share, plain.unforeseen_share),
    )
    table.end()
    return release


def _network(table: _Table, nodes: int) -> Network:
    plain = Network()
    node_nic = table.take("node_nic", _rate, plain.node_bytes_per_s)
    server_nic = table.take("server_nic", _rate, plain.server_bytes_per_s)
    per_rack = table.take("nodes_per_rack", _whole, max(1, nodes))
    _require_one(table, per_rack >= 1, "nodes_per_rack", "1 or more", per_rack)
    racks = table.take("racks", _whole, max(1, -(-nodes // per_rack)))
    uplink = table.take("rack_uplink", _rate, 0.0) or None
    factor = table.take("oversubscription", _number, None)
    _require_one(table, factor is None or factor > 0, "oversubscription", "more than 0", factor)
    if factor and uplink is None and racks > 0:
        uplink = node_nic * -(-nodes // racks) / factor
    network = Network(
        node_bytes_per_s=node_nic,
        server_bytes_per_s=server_nic,
        servers=table.take("servers", _whole, plain.servers),
        mirrors=table.take("mirrors", _whole, plain.mirrors),
        mirror_bytes_per_s=table.take("mirror_nic", _rate, server_nic),
        racks=racks,
        rack_uplink_bytes_per_s=uplink,
        latency_s=table.take("latency", _duration, plain.latency_s),
        goodput=table.take("goodput", _number, plain.goodput),
    )
    table.end()
    return network


def _require_one(table: _Table, holds: bool, key: str, expected: str, found: object) -> None:
    if not holds:
        raise ScenarioError(f"scenario key {table.key(key)} is impossible", expected=expected, found=str(found))


def _phases(table: _Table) -> Mapping[str, Any]:
    spreads = {
        name: table.take(name, lambda value: parse_spread(_text(value)), plain)
        for name, plain in DEFAULT_PHASES.items()
    }
    table.end()
    return spreads


def _hardware(table: _Table) -> tuple[Hardware, ...]:
    kinds = []
    for name, value in table.rest().items():
        inner = _Table(_converted(table.key(name), _mapping, value), table.key(name))
        kinds.append(
            Hardware(
                name=name,
                share=inner.take("share", parse_share, 0.0),
                nic_bytes_per_s=inner.take("nic", _rate, 0.0) or None,
                slowness=inner.take("slowness", _number, 1.0),
                verify_bytes_per_s=inner.take("verify", _rate, 0.0) or None,
            )
        )
        inner.end()
    return tuple(kinds)


def _faults(table: _Table) -> Faults:
    plain = Faults()
    slow = table.table("slow_racks")
    kill = table.table("kill")
    faults = Faults(
        server_dies_at_s=table.take("server_dies_at", _duration, plain.server_dies_at_s),
        slow_racks=_numbered(slow, _rate),
        dead_share=table.take("dead", parse_share, plain.dead_share),
        dead_within_s=table.take("dead_within", _duration, plain.dead_within_s),
        corrupt_share=table.take("corrupt", parse_share, plain.corrupt_share),
        killed=_numbered(kill, _duration),
    )
    table.end()
    return faults


def _numbered(table: _Table, convert: Callable[[Any], float]) -> dict[int, float]:
    """Return a table whose keys are numbers of racks or nodes."""
    values = {}
    for key, value in table.rest().items():
        if not re.fullmatch("[0-9]{1,7}", key):
            raise ScenarioError(f"scenario key {table.key(key)} is impossible", expected="a number from 0")
        values[int(key)] = _converted(table.key(key), convert, value)
    return values


def _admission(table: _Table) -> Admission:
    plain = Admission()
    admission = Admission(
        server_slots=table.take("server_slots", _whole, plain.server_slots),
        neighbour_slots=table.take("neighbour_slots", _whole, plain.neighbour_slots),
        is_early=table.take("early", _truth, plain.is_early),
        is_kept=table.take("kept", _truth, plain.is_kept),
    )
    table.end()
    return admission
