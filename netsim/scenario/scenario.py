"""A fleet, its network, its release and what befalls it: everything that one simulation is about, as values.

Bytes, bytes per second, seconds. `check` says what is impossible, naming the key as a scenario file writes it. Reading
files is `netsim.scenario.toml`'s work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from netsim.scenario.spread import Shape, Spread, fixed
from swarmboot.errors import ScenarioError
from swarmboot.text.units import GOODPUT, format_rate

MAX_NODES = 100_000
MIN_PIECE_BYTES = 16 * 1024
"""BEP 52: a piece is a power of two, and no shorter than a block."""
TIMED_PHASES = (
    "power_on",
    "firmware",
    "dhcp",
    "loader",
    "kernel",
    "leecher_start",
    "manifest",
    "hand_off",
    "services",
)
"""The phases whose time a scenario gives; stage 0, images and verification follow from sizes and rates."""

DEFAULT_PHASES: Mapping[str, Spread] = {
    "power_on": Spread(Shape.UNIFORM, 0.0, 2.0),
    "firmware": Spread(Shape.NORMAL, 12.0, 1.0),
    "dhcp": Spread(Shape.UNIFORM, 0.5, 1.5),
    "loader": fixed(0.5),
    "kernel": Spread(Shape.NORMAL, 3.0, 0.3),
    "leecher_start": Spread(Shape.NORMAL, 0.5, 0.05),
    "manifest": fixed(0.05),
    "hand_off": fixed(0.5),
    "services": Spread(Shape.NORMAL, 4.0, 0.5),
}


@dataclass(frozen=True, slots=True)
class Release:
    """What a node loads: stage 0, then images (the root image and plugins, each a torrent). Bytes.

    A boot reads `read_share` of the images' pieces, of which a trace does not name `unforeseen_share`.
    """

    images: tuple[int, ...] = (130_000_000,)
    kernel_bytes: int = 10_000_000
    initramfs_bytes: int = 20_000_000
    piece_bytes: int | None = None
    read_share: float = 0.07
    unforeseen_share: float = 0.02

    @property
    def read_bytes(self) -> int:
        """Return what a boot reads of the images, about."""
        return round(self.image_bytes * self.read_share)

    @property
    def image_bytes(self) -> int:
        """Return what a node fetches after stage 0."""
        return sum(self.images)

    @property
    def stage0_bytes(self) -> int:
        """Return what the firmware fetches."""
        return self.kernel_bytes + self.initramfs_bytes

    @property
    def total_bytes(self) -> int:
        """Return everything a node needs."""
        return self.image_bytes + self.stage0_bytes


@dataclass(frozen=True, slots=True)
class Network:
    """The links. A NIC and an uplink carry their rate each way; `goodput` is what headers leave of a raw rate."""

    node_bytes_per_s: float = 125e6
    server_bytes_per_s: float = 125e6
    servers: int = 1
    mirrors: int = 0
    mirror_bytes_per_s: float = 125e6
    racks: int = 1
    rack_uplink_bytes_per_s: float | None = None
    latency_s: float = 0.0002
    goodput: float = GOODPUT


@dataclass(frozen=True, slots=True)
class Hardware:
    """A kind of node: its share of the fleet, its NIC, and how much slower than the scenario's phases it is."""

    name: str
    share: float
    nic_bytes_per_s: float | None = None
    slowness: float = 1.0
    verify_bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong. `slow_racks` maps a rack to its uplink's rate; shares are of the nodes, from 0 to 1."""

    server_dies_at_s: float = math.inf
    slow_racks: Mapping[int, float] = field(default_factory=dict)
    dead_share: float = 0.0
    dead_within_s: float = 60.0
    corrupt_share: float = 0.0
    killed: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may load stage 0: so many at a time from each server, and from each neighbour.

    `is_early` says that nodes serve before they have their images, `is_kept` that their kernel keeps the initramfs they
    were started from, so that they fetch the kernel alone for that.
    """

    server_slots: int = 1
    neighbour_slots: int = 2
    is_early: bool = True
    is_kept: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fleet that boots once. `rendezvous_s` is how long multicast waits for the last node."""

    nodes: int = 500
    seed: int = 1
    name: str = ""
    release: Release = field(default_factory=Release)
    network: Network = field(default_factory=Network)
    phases: Mapping[str, Spread] = field(default_factory=lambda: DEFAULT_PHASES)
    hardware: tuple[Hardware, ...] = ()
    faults: Faults = field(default_factory=Faults)
    admission: Admission = field(default_factory=Admission)
    verify_bytes_per_s: float = 600e6
    rendezvous_s: float = 60.0
    timeout_s: float = 24 * 3600.0

    def check(self) -> Scenario:
        """Return itself; raise ScenarioError naming the first key whose value is impossible."""
        release, network = self.release, self.network
        _require(1 <= self.nodes <= MAX_NODES, "nodes", f"1 to {MAX_NODES}", self.nodes)
        _require(0 <= self.seed < 2**32, "seed", "0 to 4294967295", self.seed)
        _require(bool(release.images), "release.images", "one image or more", "none")
        for size in release.images:
            _require(size > 0, "release.images", "more than 0 bytes each", size)
        _require(release.kernel_bytes >= 0, "release.kernel", "0 bytes or more", release.kernel_bytes)
        _require(release.initramfs_bytes >= 0, "release.initramfs", "0 bytes or more", release.initramfs_bytes)
        piece = release.piece_bytes
        is_length = piece is None or (piece >= MIN_PIECE_BYTES and piece & (piece - 1) == 0)
        _require(is_length, "release.piece", "a power of two from 16KiB", piece)
        _require(0 < release.read_share <= 1, "release.read", "more than 0, at most 1", release.read_share)
        _require(0 <= release.unforeseen_share < 1, "release.unforeseen", "0 to 1", release.unforeseen_share)
        _require(self.timeout_s > 0, "timeout", "more than 0 s", self.timeout_s)
        _require(1 <= network.racks <= self.nodes, "network.racks", "1 to the number of nodes", network.racks)
        _require(1 <= network.servers <= 64, "network.servers", "1 to 64", network.servers)
        _require(0 <= network.mirrors <= 64, "network.mirrors", "0 to 64", network.mirrors)
        _require(0 < network.goodput <= 1, "network.goodput", "more than 0, at most 1", network.goodput)
        _require(network.latency_s >= 0, "network.latency", "0 s or more", network.latency_s)
        for key, rate in self._rates().items():
            _require(rate is None or rate > 0, key, "more than 0", format_rate(rate or 0.0))
        self._check_hardware()
        self._check_faults()
        admission = self.admission
        _require(admission.server_slots >= 1, "admission.server_slots", "1 or more", admission.server_slots)
        _require(admission.neighbour_slots >= 0, "admission.neighbour_slots", "0 or more", admission.neighbour_slots)
        return self

    def _rates(self) -> dict[str, float | None]:
        network = self.network
        return {
            "network.node_nic": network.node_bytes_per_s,
            "network.server_nic": network.server_bytes_per_s,
            "network.mirror_nic": network.mirror_bytes_per_s,
            "network.rack_uplink": network.rack_uplink_bytes_per_s,
            "verify": self.verify_bytes_per_s,
        } | {f"faults.slow_racks.{rack}": rate for rack, rate in self.faults.slow_racks.items()}

    def _check_hardware(self) -> None:
        for kind in self.hardware:
            _require(0 < kind.share <= 1, f"hardware.{kind.name}.share", "more than 0, at most 1", kind.share)
            _require(kind.slowness > 0, f"hardware.{kind.name}.slowness", "more than 0", kind.slowness)
        total = sum(kind.share for kind in self.hardware)
        _require(total <= 1 + 1e-9, "hardware", "shares of 1 together at most", f"{total:g}")

    def _check_faults(self) -> None:
        faults = self.faults
        _require(0 <= faults.dead_share <= 1, "faults.dead", "0 to 1", faults.dead_share)
        _require(0 <= faults.corrupt_share <= 1, "faults.corrupt", "0 to 1", faults.corrupt_share)
        _require(faults.server_dies_at_s >= 0, "faults.server_dies_at", "0 s or more", faults.server_dies_at_s)
        for rack in faults.slow_racks:
            known = 0 <= rack < self.network.racks
            _require(known, "faults.slow_racks", f"a rack from 0 to {self.network.racks - 1}", rack)
        for node in faults.killed:
            known = 0 <= node < self.nodes
            _require(known, "faults.kill", f"a node from 0 to {self.nodes - 1}", node)


def _require(holds: bool, key: str, expected: str, found: object) -> None:
    if not holds:
        raise ScenarioError(f"scenario key {key} is impossible", expected=expected, found=str(found))
