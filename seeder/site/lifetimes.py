"""What ends: manifests, channels' pointers, certificates; and the line that says so while there is time to act.

A line is due when less than a third of a life is left, at start and once a day, and when it is over. Pure, but for
`site_lifetimes`, which reads the pointers of a site.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from seeder.site.reader import channel_names, read_regular_file
from swarmboot.errors import SwarmbootError
from swarmboot.ids import Sequence
from swarmboot.release import layout, trust
from swarmboot.release.manifest import Manifest

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """One thing's life: `what` it is, when it ends, in Unix seconds, how long it lasts in all, and what to do then.

    `kind` is one of `authority`, `certificate`, `channel`, `manifest`, and `name` tells those of a kind apart: that of
    a channel, or nothing where there is only one.
    """

    what: str
    ends_s: float
    life_s: float
    hint: str
    kind: str = ""
    name: str = ""

    @property
    def is_endless(self) -> bool:
        """Return whether it ends after the last year that can be written."""
        return self.ends_s >= datetime.max.replace(tzinfo=UTC).timestamp() - DAY_S


def ending_lines(lifetimes: Iterable[Lifetime], *, now_s: float) -> Iterator[str]:
    """Yield a line for each life of which less than a third is left, or nothing."""
    for each in lifetimes:
        left_s = each.ends_s - now_s
        if each.is_endless or left_s >= each.life_s / 3:
            continue
        if left_s <= 0:
            yield f"{each.what} ended on {day(each.ends_s)}, and this machine's clock says {day(now_s)}: {each.hint}"
        else:
            yield f"{each.what} ends on {day(each.ends_s)}, {_days(left_s)} from now: {each.hint}"


def first_end(lifetimes: Iterable[Lifetime]) -> str:
    """Return a line of what ends first; nothing if nothing does."""
    ending = [each for each in lifetimes if not each.is_endless]
    first = min(ending, key=lambda each: each.ends_s, default=None)
    return f"the first to end is {first.what.rstrip(',')}, on {day(first.ends_s)}" if first else ""


def _days(left_s: float) -> str:
    days = int(left_s // DAY_S)
    return "less than a day" if not days else f"{days} day{'s' if days > 1 else ''}"


def day(unix_s: float) -> str:
    """Return a day as in 2026-11-29 (UTC)."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")


def site_lifetimes(site: Path, manifests: Mapping[Sequence, Manifest]) -> list[Lifetime]:
    """Return the lives of the manifests that a site's channels point to, and of the pointers that have an end."""
    found = []
    for name in channel_names(site):
        path = site / layout.channel_path(name)
        try:
            pointer, _ = trust.split_channel_file(read_regular_file(path, most_bytes=trust.CHANNEL_MAX_BYTES))
            channel = trust.decode_channel(trust.open_envelope(pointer, trust.Kind.CHANNEL).payload)
            written_s = path.stat().st_mtime
        except (SwarmbootError, OSError):
            continue  # whoever asks for it is told
        manifest = manifests.get(channel.sequence)
        if manifest is not None:
            what = f"manifest {manifest.sequence} ({manifest.name}), which channel {name} points to,"
            lasts_s = manifest.expires_unix_s - manifest.issued_unix_s
            found.append(
                Lifetime(what, manifest.expires_unix_s, lasts_s, "publish the release again", "manifest", name)
            )
        if channel.expires_unix_s:
            life_s = channel.expires_unix_s - written_s
            hint = "publish the release again, which renews it"
            what = f"the pointer of channel {name}"
            found.append(Lifetime(what, channel.expires_unix_s, life_s, hint, "channel", name))
    return found
