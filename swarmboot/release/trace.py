"""A trace: what a boot reads of its images, in order. A text file for people, ranges of pieces in the manifest.

    # swarmboot trace
    rootfs.squashfs 0 96
    rootfs.squashfs 20971520 4096

A line a read: the image's name, the first byte, how many. What is read twice counts once. Pure: text in, values out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from swarmboot.errors import ReleaseError
from swarmboot.release.piece_set import Pieces, span

MAX_RANGES = 8192
"""Of all images of a release together: so many the signed manifest has room for."""
_HEAD = "# swarmboot trace"
_HINT = "record it again, with these images"


@dataclass(frozen=True, slots=True)
class Read:
    """Bytes of an image that a boot read at once."""

    first_byte: int
    size_bytes: int


Ranges = tuple[tuple[int, int], ...]
"""Runs of pieces as first and count, in the order in which they were read; no piece twice."""


def parse_trace(text: str, *, where: str) -> dict[str, tuple[Read, ...]]:
    """Return the reads of each image by its name; raise ReleaseError naming `where` and the line of what is no read."""
    reads: dict[str, list[Read]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        match words:
            case [name, first, size] if _is_number(first) and _is_number(size) and int(size):
                reads.setdefault(name, []).append(Read(int(first), int(size)))
            case _:
                raise ReleaseError(
                    f"{where}:{number} is no read", expected="IMAGE FIRST_BYTE BYTES", found=repr(line[:80]), hint=_HINT
                )
    if not reads:
        raise ReleaseError(f"{where} holds no read", expected="a line for each: IMAGE FIRST_BYTE BYTES", found="none")
    return {name: tuple(each) for name, each in reads.items()}


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 15


def format_trace(reads: Iterable[tuple[str, Read]]) -> str:
    """Return the text that `parse_trace` reads."""
    return "".join([f"{_HEAD}\n", *(f"{name} {read.first_byte} {read.size_bytes}\n" for name, read in reads)])


def ranges_of(reads: Sequence[Read], *, size_bytes: int, piece_bytes: int, where: str) -> Ranges:
    """Return the pieces that reads touch, in order; raise ReleaseError, naming `where`, for one beyond the image."""
    seen: Pieces = 0
    ranges: list[tuple[int, int]] = []
    for read in reads:
        end_byte = read.first_byte + read.size_bytes
        if end_byte > size_bytes:
            raise ReleaseError(
                f"{where} reads beyond its end", expected=f"at most {size_bytes} bytes", found=f"{end_byte}", hint=_HINT
            )
        for index in range(read.first_byte // piece_bytes, (end_byte - 1) // piece_bytes + 1):
            if seen >> index & 1:
                continue
            seen |= 1 << index
            if ranges and sum(ranges[-1]) == index:
                ranges[-1] = (ranges[-1][0], ranges[-1][1] + 1)
            else:
                ranges.append((index, 1))
    return tuple(ranges)


def check_known(reads: Mapping[str, object], names: Iterable[str], *, where: str) -> None:
    """Raise ReleaseError if a trace names an image that the release does not hold."""
    images = sorted(names)
    unknown = sorted(set(reads) - set(images))
    if unknown:
        raise ReleaseError(
            f"{where} names an image that is not there",
            expected=f"one of {', '.join(images)}",
            found=unknown[0][:80],
            hint=_HINT,
        )


def pieces_of(ranges: Ranges) -> Pieces:
    """Return the set of the pieces of a trace: the boot set."""
    pieces: Pieces = 0
    for first, count in ranges:
        pieces |= span(first, count)
    return pieces
