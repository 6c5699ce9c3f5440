"""A trace in bytes of a site's images, as a node hands it in, written as one that names files.

Files are true of the same images sorted, and of the next release; bytes are not (docs/decisions/0061).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from seeder.publish.images.reading_order import named_parts
from seeder.publish.images.traced import read_trace
from seeder.serve.node_traces import TRACES, kept
from seeder.site.reader import read_unbelieved
from seeder.squashfs.reader import read_squashfs
from swarmboot.errors import ReleaseError
from swarmboot.ids import Sequence
from swarmboot.release import layout
from swarmboot.release.manifest import Artifact
from swarmboot.release.trace import Read, can_be_written, format_trace


def export(state: Path, site: Path, number: int = 0) -> tuple[str, list[str]]:
    """Return the trace that a seeder's state has of a manifest, by files, and what is to be said of it.

    Without a number that of the newest manifest that there is one of. Raises ReleaseError if there is none.
    """
    numbers = kept(state)
    if not numbers or (number and number not in numbers):
        raise ReleaseError(
            f"{state} has no trace{f' of manifest {number}' if number else ''}",
            expected=f"one of {', '.join(map(str, numbers))}" if numbers else "",
            hint="boot a node with swarmboot.trace=on from this seeder, or `swarmboot trace record RELEASE`",
        )
    number = number or numbers[0]
    return by_files(state / TRACES / str(number), site, number)


def by_files(trace: Path, site: Path, number: int) -> tuple[str, list[str]]:
    """Return a trace of a site's manifest by files, and what is to be said of it; raise ReleaseError and its kin."""
    images = {each.name: each for each in read_unbelieved(site, Sequence(number)).artifacts}
    reads: list[tuple[str, Read]] = []
    for name, each in read_trace(trace).items():
        reads += ((name, read) for read in _of_image(site, images[name], each))
    unwritten = [read.path for _, read in reads if not can_be_written(read.path)]
    said = [f"{len(unwritten)} files have names that no line can hold, and are left out"] if unwritten else []
    return format_trace(reads), said


def _of_image(site: Path, image: Artifact, reads: tuple[Read, ...]) -> Iterator[Read]:
    squashfs = read_squashfs(site / layout.blob_path(image.sha256), label=image.name)
    for part in named_parts(squashfs, reads)[0]:
        yield Read(part.first_byte, part.size_bytes, f"/{os.fsdecode(part.path)}")
