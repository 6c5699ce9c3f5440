"""The scenarios that a calibration compares, and what is compared of each. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from netsim.lab.rack.plan import LAZY, Casualty, LabPlan
from netsim.lab.run.payload import ROOT_IMAGE_NAMES
from swarmboot.release.piece_set import piece_bytes_for, piece_count
from swarmboot.text.units import format_rate, format_size

_MBIT = 1e6 / 8
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario. Rates in bytes per second, sizes in bytes, times in seconds."""

    strategy: str
    nodes: int
    rate_bytes_per_s: float
    size_bytes: int
    stagger_s: float = 0.0
    server_dies_s: float | None = None
    stage0_bytes: int = 0
    kernel_s: float = 0.0
    read_share: float = 0.0
    """Of the pieces, what a boot reads: the trace of a row of `swarmboot-lazy`."""

    @property
    def trace(self) -> str:
        """Return the row's trace: so many pieces at random places, each read whole."""
        piece_bytes = piece_bytes_for(self.size_bytes)
        count = piece_count(self.size_bytes, piece_bytes)
        pieces = Random(count).sample(range(count), round(count * self.read_share))
        reads = ((piece * piece_bytes, min(piece_bytes, self.size_bytes - piece * piece_bytes)) for piece in pieces)
        return "".join(f"{ROOT_IMAGE_NAMES[0]} {first} {size}\n" for first, size in reads)

    @property
    def plan(self) -> LabPlan:
        """Return the row as the lab takes it."""
        casualties = () if self.server_dies_s is None else (Casualty(after_s=self.server_dies_s),)
        return LabPlan(
            strategy=self.strategy,
            nodes=self.nodes,
            rate_bytes_per_s=self.rate_bytes_per_s,
            size_bytes=self.size_bytes,
            stagger_s=self.stagger_s,
            casualties=casualties,
            stage0_bytes=self.stage0_bytes,
            kernel_s=self.kernel_s,
        )

    @property
    def label(self) -> str:
        """Return the row's name in the table."""
        extra = f", one every {self.stagger_s:g} s" if self.stagger_s else ""
        extra += f", seeder dies at {self.server_dies_s:g} s" if self.server_dies_s is not None else ""
        if self.stage0_bytes:
            extra += f", stage 0 of {format_size(self.stage0_bytes)}, {self.kernel_s:g} s for the kernel"
        extra += f", a boot reads {self.read_share:.0%}" if self.read_share else ""
        rate, size = format_rate(self.rate_bytes_per_s), format_size(self.size_bytes)
        return f"{self.strategy} N={self.nodes} {rate} {size}{extra}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What is compared: median and last completion in seconds after the first start, and bytes the server sent.

    Of `swarmboot-lazy` it is not completion that counts, but having read what a boot reads.
    """

    median_s: float
    last_s: float
    server_bytes: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run in the lab; `phases` are the seconds that the machine took, by the simulator's names."""

    figures: Figures
    phases: dict[str, float]
    load_average: float


def full_rows() -> list[Row]:
    """Return every row of docs/calibration.md."""
    rows = [
        Row(strategy, nodes, rate * _MBIT, size * _MIB)
        for strategy in ("https", "libtorrent", "swarmboot")
        for rate in (20, 40)
        for size in (8, 16)
        for nodes in (1, 4, 8, 16)
    ]
    return [*rows, *special_rows(), *stage0_rows(), *lazy_rows()]


def special_rows() -> list[Row]:
    """Return the staggered start and the seeder's death."""
    return [
        Row("swarmboot", 8, 40 * _MBIT, 16 * _MIB, stagger_s=1.0),
        Row("swarmboot", 8, 40 * _MBIT, 16 * _MIB, stagger_s=1.0, server_dies_s=9.0),
    ]


def stage0_rows() -> list[Row]:
    """Return machines that load stage 0 first, and serve it from their initramfs on."""
    return [
        Row("swarmboot+stage0", nodes, 20 * _MBIT, 32 * _MIB, stage0_bytes=12 * _MIB, kernel_s=1.5)
        for nodes in (8, 12, 16)
    ]


def lazy_rows() -> list[Row]:
    """Return nodes that go on before all is there; of those that come late neighbours send what a boot reads first."""
    rows = [Row(LAZY, nodes, 20 * _MBIT, size * _MIB, read_share=0.07) for size in (64, 128) for nodes in (1, 4, 8)]
    return [*rows, Row(LAZY, 8, 20 * _MBIT, 64 * _MIB, stagger_s=2.0, read_share=0.07)]


def small_rows() -> list[Row]:
    """Return the rows that `make test` runs."""
    return [Row(strategy, 4, 20 * _MBIT, 8 * _MIB) for strategy in ("https", "libtorrent", "swarmboot")]
