"""What there is to show at one moment: every current boot, how it stands and why. Pure values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from seeder.record.policy.boot import Boot
from seeder.record.policy.causes import Cause, Site, cause_of
from seeder.record.policy.state import Standing, standing


@dataclass(frozen=True, slots=True)
class Release:
    """A release that is served, the channels that point to it, and the size of all that it has."""

    name: str
    sequence: int
    channels: tuple[str, ...]
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """A canary: who, in words, boots `source` in place of `channel`."""

    source: str
    channel: str
    who: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """What this server sends: bytes a second now and at most, and how many copies of the newest release so far.

    `history` has the bytes a second of the last minutes, each with its time.
    """

    bytes_per_s: float = 0.0
    limit_bytes_per_s: float = 0.0
    copies_sent: float = 0.0
    sent_bytes: int = 0
    history: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One boot, how it stands, and why."""

    boot: Boot
    how: Standing
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A moment. `ends` has what ends and when, `lost` how many records could not be written.

    `addressless` are the MAC addresses of machines for which DHCP has no address left.
    """

    now_s: float
    rows: tuple[Row, ...]
    limits_s: Mapping[str, float] = field(default_factory=dict)
    releases: tuple[Release, ...] = ()
    ends: tuple[tuple[str, float], ...] = ()
    traffic: Traffic = Traffic()
    lost: int = 0
    trials: tuple[Trial, ...] = ()
    addressless: tuple[str, ...] = ()


def build_view(
    boots: Iterable[Boot],
    limits_s: Mapping[str, float],
    *,
    now_s: float,
    releases: tuple[Release, ...] = (),
    ends: tuple[tuple[str, float], ...] = (),
    traffic: Traffic = Traffic(),
    lost: int = 0,
    trials: tuple[Trial, ...] = (),
    addressless: tuple[str, ...] = (),
) -> View:
    """Return the view of these boots, in the order of `in_order`."""
    site = Site({channel: each.sequence for each in releases for channel in each.channels})
    rows = [row_of(boot, limits_s, site, now_s=now_s) for boot in boots]
    return View(
        now_s=now_s, rows=tuple(sorted(rows, key=in_order)), limits_s=limits_s, releases=releases, ends=ends,
        traffic=traffic, lost=lost, trials=trials, addressless=addressless,
    )  # fmt: skip


def row_of(boot: Boot, limits_s: Mapping[str, float], site: Site, *, now_s: float) -> Row:
    """Return one boot with how it stands and why."""
    how = standing(boot, limits_s, now_s=now_s)
    return Row(boot, how, cause_of(boot, how, site, now_s=now_s))


_FIRST = ("failed", "stuck", "booting", "up", "gone")


def in_order(row: Row) -> tuple[int, str, str, str]:
    """Return what rows are sorted by: failed and stuck first, then by rack and name."""
    boot = row.boot
    return _FIRST.index(row.how.state), boot.rack, boot.name or boot.mac, boot.id
