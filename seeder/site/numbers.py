"""Which of a site's manifests is the newest, and which number the next one gets. It writes nothing.

Numbers grow by one. Where stolen keys have used them up, they may begin lower again after a rotation to keys that do
not believe what the old ones signed; nodes lift their floors by the same rule (`freshness.is_floor_lifted`).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from seeder.site.reader import read_site_file
from swarmboot.errors import BlobError, ReleaseError, TrustError
from swarmboot.ids import MAX_SEQUENCE, Sequence
from swarmboot.release import layout, trust


def next_number(site: Path) -> Sequence:
    """Return the number for the site's next manifest; raise ReleaseError if there is none left for its keys."""
    numbers = layout.manifest_numbers(site)
    if not numbers or numbers[-1] < MAX_SEQUENCE:
        return Sequence(max(numbers, default=0) + 1)
    own = [number for number in numbers if _is_own(site, number)]
    number = own[-1] + 1 if own else _start_of_widest_gap(numbers)
    taken = set(numbers)
    while number in taken:
        number += 1
    if number > MAX_SEQUENCE:
        raise ReleaseError(
            "the site's numbers are used up",
            expected=f"a newest manifest below {MAX_SEQUENCE}",
            found=str(numbers[-1]),
            hint="run `swarmboot rotate` to keys that do not believe the old ones: numbers then begin lower again",
        )
    return Sequence(number)


def oldest_first(site: Path) -> list[Sequence]:
    """Return the numbers of a site's manifests; what its present keys do not believe counts as older than the rest."""
    numbers = layout.manifest_numbers(site)
    return sorted(numbers, key=lambda number: (_is_own(site, number), number)) if layout.rotations(site) else numbers


def _is_own(site: Path, number: Sequence) -> bool:
    """Return whether the site's present keys believe a manifest; without a rotation they are not known, and do."""
    rotations = layout.rotations(site)
    if not rotations:
        return True
    keys = trust.decode_key_set(trust.open_envelope(rotations[-1], trust.Kind.KEYS).payload)
    try:
        data = read_site_file(site, layout.manifest_path(number), most_bytes=trust.ENVELOPE_MAX_BYTES)
        trust.verify(data, trust.Kind.MANIFEST, keys)
    except (BlobError, TrustError):
        return False
    return True


def _start_of_widest_gap(numbers: list[Sequence]) -> int:
    """Return the first number of the longest run that is free, the lowest of several; the one after all if none is."""
    gaps = [(after - before, -before) for before, after in pairwise([0, *numbers]) if after - before > 1]
    return 1 - max(gaps)[1] if gaps else MAX_SEQUENCE + 1
