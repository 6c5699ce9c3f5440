"""What one laboratory run is: how many nodes, over which links, moving what, by which strategy. Values only, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netsim.lab.rack.fluid_limit import LinkRates, least_time_s, unicast_time_s
from swarmboot.errors import MalformedSettingError
from swarmboot.text.units import parse_duration

if TYPE_CHECKING:
    from pathlib import Path

MAX_NODES = 1000
"""A Linux bridge has 1,024 ports."""

MAX_RACKS = 250
LAZY = "swarmboot-lazy"
"""The strategy in which images are in use before they are whole."""
CACHE = "swarmboot-cache"
"""The strategy in which every node has kept an older release."""
STAGE0 = "swarmboot+stage0"
_START_UP_S = 30.0
_START_UP_PER_NODE_S = 0.5


@dataclass(frozen=True, slots=True)
class Casualty:
    """A process that the lab kills with SIGKILL, and when, in seconds after the first node's start."""

    after_s: float
    node: int | None = None
    """The node's index from 0, or None for the server."""


@dataclass(frozen=True, slots=True)
class LabPlan:
    """One run. Rates in bytes per second, sizes in bytes, times in seconds; `check` says what is impossible."""

    strategy: str
    nodes: int
    rate_bytes_per_s: float
    size_bytes: int
    release: Path | None = None
    server_rate_bytes_per_s: float | None = None
    stagger_s: float = 0.0
    racks: int = 1
    rack_uplink_bytes_per_s: float | None = None
    timeout_s: float | None = None
    casualties: tuple[Casualty, ...] = field(default=())
    warm: int = 0
    """How many more nodes are complete, and go on as neighbours, before the first of `nodes` starts."""
    trace: Path | None = None
    """What a boot reads, in order, for the strategy whose images are in use before they are whole."""
    cache_from: Path | None = None
    """The older release that nodes have kept; None for the very one that is moved."""
    stage0_bytes: int = 0
    kernel_s: float = 0.0
    """What machines load before a leecher starts, and how long the kernel then takes; `swarmboot+stage0` alone."""

    @property
    def rates(self) -> LinkRates:
        """Return the raw rates of all links; the server's is a node's unless the plan says otherwise."""
        return LinkRates(
            server_bytes_per_s=self.server_rate_bytes_per_s or self.rate_bytes_per_s,
            node_bytes_per_s=self.rate_bytes_per_s,
            racks=self.racks,
            rack_uplink_bytes_per_s=self.rack_uplink_bytes_per_s,
        )

    @property
    def last_start_s(self) -> float:
        """Return when the last node starts, in seconds after the first."""
        return (self.nodes - 1) * self.stagger_s

    def limit_s(self, size_bytes: int) -> float:
        """Return T* in seconds for a node that needs `size_bytes`."""
        return least_time_s(size_bytes, self.nodes, self.rates, last_start_s=self.last_start_s, warm=self.warm)

    def bound_s(self, size_bytes: int) -> float:
        """Return the seconds after which the run is given up: `timeout_s`, or three times plain unicast and start-up.

        Unicast over the slowest shared link is the worst that any strategy worth the name can be.
        """
        if self.timeout_s is not None:
            return self.timeout_s
        unicast_s = unicast_time_s(size_bytes, self.nodes, self.rates, last_start_s=self.last_start_s)
        if self.rack_uplink_bytes_per_s is not None:
            unicast_s = max(unicast_s, self.nodes * size_bytes / self.racks / self.rack_uplink_bytes_per_s)
        return _START_UP_S + _START_UP_PER_NODE_S * self.nodes + 3 * unicast_s

    def check(self) -> None:
        """Raise MalformedSettingError when a number is out of range or two of them contradict each other."""
        _require(1 <= self.nodes <= MAX_NODES, "--nodes", f"1 to {MAX_NODES}", self.nodes)
        _require(0 <= self.warm <= MAX_NODES - self.nodes, "--warm", f"0 to {MAX_NODES - self.nodes}", self.warm)
        _require(not self.warm or self.strategy != "udpcast", "--warm", "0: multicast waits for everybody", self.warm)
        _require(not self.warm or self.racks == 1 or self.warm >= self.racks, "--warm", "a node a rack", self.warm)
        _require(self.size_bytes > 0, "--size", "more than 0 bytes", self.size_bytes)
        _require(self.stagger_s >= 0, "--stagger", "0 s or more", self.stagger_s)
        _require(self.timeout_s is None or self.timeout_s > 0, "--timeout", "more than 0 s", self.timeout_s)
        needs_stage0 = self.strategy == STAGE0
        _require(needs_stage0 == bool(self.stage0_bytes), "--stage0", f"a size with {STAGE0} alone", self.stage0_bytes)
        most = min(self.nodes, MAX_RACKS // 2 if self.warm else MAX_RACKS)
        _require(1 <= self.racks <= most, "--racks", f"1 to {most}", self.racks)
        _require(
            (self.racks > 1) == (self.rack_uplink_bytes_per_s is not None),
            "--racks and --rack-uplink",
            "both, with two racks or more, or neither",
            f"{self.racks} racks, uplink {self.rack_uplink_bytes_per_s}",
        )
        _require(self.trace is None or self.strategy == LAZY, "--trace", f"with --strategy {LAZY}", self.strategy)
        is_cached = self.strategy == CACHE
        _require(is_cached or self.cache_from is None, "--cache-from", f"with --strategy {CACHE}", self.strategy)
        for casualty in self.casualties:
            known = casualty.node is None or 0 <= casualty.node < self.nodes
            _require(known, "--kill-node", f"a node from 0 to {self.nodes - 1}", casualty.node)


def _require(holds: bool, argument: str, expected: str, found: object) -> None:
    if not holds:
        raise MalformedSettingError(f"{argument} is out of range", expected=expected, found=str(found))


def parse_casualty(text: str) -> Casualty:
    """Return the casualty that `I:S` names: node I, S seconds after the start; raise MalformedSettingError."""
    node, colon, after = text.partition(":")
    if not colon or not node.isascii() or not node.isdigit():
        raise MalformedSettingError("not a node to kill", expected="NODE:SECONDS, as in 3:2s", found=repr(text))
    return Casualty(after_s=parse_duration(after), node=int(node))
