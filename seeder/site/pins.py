"""Releases that `prune` keeps: an empty file `pins/NUMBER` for each, which nodes never ask for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from seeder.site.writer import SiteWriter
from swarmboot.errors import ReleaseError
from swarmboot.ids import Sequence
from swarmboot.release import layout


def pinned(site: Path) -> frozenset[Sequence]:
    """Return the numbers of the releases that are kept."""
    return frozenset(number for number in layout.manifest_numbers(site) if (site / layout.pin_path(number)).is_file())


def pin(writer: SiteWriter, numbers: Iterable[Sequence], *, is_removed: bool = False) -> tuple[Sequence, ...]:
    """Have these kept, or no longer; return all that are kept, rising. Raises ReleaseError, having changed nothing."""
    known, wanted = layout.manifest_numbers(writer.site), list(numbers)
    for number in wanted:
        if number not in known and not is_removed:
            raise ReleaseError(
                f"{writer.site} has no release {number}", expected=f"one of {', '.join(map(str, known))}",
                hint="it was never published or has been pruned",
            )  # fmt: skip
    for number in wanted:
        path = layout.pin_path(number)
        if is_removed:
            writer.remove(path)
        elif not writer.path(path).is_file():
            writer.write(path, b"")
    return tuple(sorted(pinned(writer.site)))
