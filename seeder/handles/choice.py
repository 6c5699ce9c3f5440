"""Which release a channel goes back to, and whether two say the same. Pure.

Two releases say the same if they differ in nothing but number and times: going back issues an old one anew, under the
next number, because no node takes a lower one than it has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from swarmboot.errors import ReleaseError
from swarmboot.ids import Sequence
from swarmboot.release.manifest import Manifest


def is_same(one: Manifest, other: Manifest) -> bool:
    """Return whether two releases are the same but for number and times."""
    ends_s = one.expires_unix_s
    return replace(other, sequence=one.sequence, issued_unix_s=one.issued_unix_s, expires_unix_s=ends_s) == one


def renewed(manifest: Manifest, *, now_unix_s: float) -> Manifest:
    """Return a release as it is issued anew: as long to live as it had at first."""
    life_s = manifest.expires_unix_s - manifest.issued_unix_s
    return replace(manifest, issued_unix_s=int(now_unix_s), expires_unix_s=int(now_unix_s) + life_s)


def before(current: Manifest, known: Mapping[Sequence, Manifest], *, channels: int) -> Sequence:
    """Return the number of the newest release that is older than the channel's and says something else.

    What the channel has counts from when it was first issued, so that going back twice goes back further. Raises
    ReleaseError if there is none, or if the site has several channels: numbers are one row for all of them, and none
    says which channel had it.
    """
    if channels > 1:
        raise ReleaseError(
            "the site has several channels, and what this one had before is not known",
            expected="--to NUMBER",
            hint="`swarmboot releases` lists them",
        )
    first = min([current.sequence, *(number for number, each in known.items() if is_same(each, current))])
    older = [number for number, each in known.items() if number < first and not is_same(each, current)]
    if not older:
        raise ReleaseError(
            f"there is no release before {first}",
            expected="an older manifest in the site",
            found="none: it was never published or has been pruned",
            hint="publish its folder again",
        )
    return max(older)


def is_pointed_to(source: Manifest, target: Manifest | None, *, now_unix_s: float) -> bool:
    """Return whether a channel may point to another's manifest as it is; if not, it has to be issued anew.

    Nodes of the channel refuse a lower number than they have seen, and one that ends soon is renewed on the way.
    """
    left_s, life_s = source.expires_unix_s - now_unix_s, source.expires_unix_s - source.issued_unix_s
    return (target is None or source.sequence >= target.sequence) and left_s * 3 >= life_s
