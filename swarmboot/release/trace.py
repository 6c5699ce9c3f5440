"""A trace: what a boot reads of its images, in order. A text file for people, ranges of pieces in the manifest.

    # swarmboot trace
    rootfs.squashfs 0 96
    rootfs.squashfs 20971520 4096
    rootfs.squashfs 0 14480 /usr/bin/env

A line a read: the image's name, the first byte, how many; with a path behind them, the rest of the line, they are bytes
of that file in the image. Bytes of an image are true of that one alone, a file's of any image with the same file too.
What is read twice counts once. Pure: text in, values out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from swarmboot.errors import ReleaseError
from swarmboot.release.piece_set import Pieces, span

MAX_RANGES = 8192
"""Of all images of a release together: so many the signed manifest has room for."""
_HEAD = "# swarmboot trace"
_FORM = "IMAGE FIRST_BYTE BYTES [/PATH]"
_HINT = "record it again, with these images"


@dataclass(frozen=True, slots=True)
class Read:
    """Bytes that a boot read at once, of an image, or of the file in it that `path` names, from its root."""

    first_byte: int
    size_bytes: int
    path: str = ""


Ranges = tuple[tuple[int, int], ...]
"""Runs of pieces as first and count, in the order in which they were read; no piece twice."""


def parse_trace(text: str, *, where: str) -> dict[str, tuple[Read, ...]]:
    """Return the reads of each image by its name; raise ReleaseError naming `where` and the line of what is no read."""
    reads: dict[str, list[Read]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(maxsplit=3)
        if not words or words[0].startswith("#"):
            continue
        match words:
            case [name, first, size, *rest] if _is_number(first) and _is_number(size) and int(size) and _is_path(rest):
                reads.setdefault(name, []).append(Read(int(first), int(size), *rest))
            case _:
                raise ReleaseError(f"{where}:{number} is no read", expected=_FORM, found=repr(line[:80]), hint=_HINT)
    if not reads:
        raise ReleaseError(f"{where} holds no read", expected=f"a line for each: {_FORM}", found="none")
    return {name: tuple(each) for name, each in reads.items()}


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 15


def _is_path(rest: Sequence[str]) -> bool:
    return not rest or can_be_written(rest[0])


def can_be_written(path: str) -> bool:
    """Return whether a file's path can stand in a line of a trace."""
    return path.startswith("/") and path.isprintable() and not path.endswith(" ")


def format_trace(reads: Iterable[tuple[str, Read]]) -> str:
    """Return the text that `parse_trace` reads; of a path that cannot be written there is no line."""
    return "".join([f"{_HEAD}\n", *(_line(name, read) for name, read in reads)])


def _line(name: str, read: Read) -> str:
    bare = f"{name} {read.first_byte} {read.size_bytes}"
    if not read.path:
        return f"{bare}\n"
    return f"{bare} {read.path}\n" if can_be_written(read.path) else ""


def ranges_of(reads: Sequence[Read], *, size_bytes: int, piece_bytes: int, where: str) -> Ranges:
    """Return the pieces that reads touch, in order; raise ReleaseError, naming `where`, for one beyond the image.

    Reads of files are read as bytes of the image (`seeder.publish.images.reading_order`) before.
    """
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
