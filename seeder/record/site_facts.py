"""What a site offers, for the record: which channel points where, and what ends. Reads files; run it in a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from seeder.record.policy.view import Release, Trial
from seeder.site.canaries import canary_channels, read_canary
from seeder.site.lifetimes import Lifetime, site_lifetimes
from seeder.site.reader import channel_names, pointed_number
from swarmboot.errors import SwarmbootError
from swarmboot.ids import Sequence as Number
from swarmboot.release.manifest import Manifest


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """A site's channels by name, when what ends, and who boots which channel as a canary."""

    channels: Mapping[str, int] = field(default_factory=dict)
    ends: tuple[tuple[str, float], ...] = ()
    canaries: Mapping[str, Trial] = field(default_factory=dict)


def site_facts(
    folder: Path, manifests: Mapping[Number, Manifest], own_lives: Callable[[], Sequence[Lifetime]]
) -> SiteFacts:
    """Return what the site's files say now; `own_lives` are those of the server's certificates."""
    channels = {}
    ends: list[Lifetime] = []
    for name in channel_names(folder):
        with suppress(SwarmbootError, OSError):  # whoever asks for that channel is told
            channels[name] = int(pointed_number(folder, name))
    with suppress(SwarmbootError, OSError):
        ends = [*own_lives(), *site_lifetimes(folder, manifests)]
    ending = tuple((each.what.rstrip(","), each.ends_s) for each in ends if not each.is_endless)
    return SiteFacts(channels, ending, _canaries(folder))


def _canaries(folder: Path) -> dict[str, Trial]:
    """Return the canaries by the channel that they boot; one that cannot be read is passed over here."""
    found = {}
    for channel in canary_channels(folder):
        with suppress(SwarmbootError, OSError):
            if canary := read_canary(folder, channel, None):
                found[canary.source] = Trial(canary.source, channel, canary.who)
    return found


def releases(facts: SiteFacts, manifests: Mapping[Number, Manifest]) -> tuple[Release, ...]:
    """Return the releases that are served, the newest first."""
    return tuple(
        Release(
            manifest.name,
            int(number),
            tuple(sorted(name for name, pointed in facts.channels.items() if pointed == number)),
            sum(each.size_bytes for each in manifest.artifacts),
        )
        for number, manifest in sorted(manifests.items(), reverse=True)
    )
