"""One image's file while it arrives: what of it may be read, because its hashes are those that were signed.

A piece is looked at when it is first read: the hashes of its blocks must lead to the piece's, which came with the
signed torrent (BEP 52). Who wrote the file, and what he says of it, does not count: a piece that is not written yet and
one that is wrong look alike, and neither is given to anybody.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from swarmboot.release.merkle import BLOCK_BYTES, NO_BLOCK, merkle_root, piece_root
from swarmboot.release.piece_set import piece_count


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Where an image's file arrives, and what is known of it: `layer` are its pieces' hashes, of one piece the root."""

    path: str
    size_bytes: int
    piece_bytes: int
    layer: tuple[bytes, ...]

    @property
    def pieces(self) -> int:
        """Return the number of pieces."""
        return piece_count(self.size_bytes, self.piece_bytes)


class VerifiedFile:
    """The file of one image; only what is verified may be read of it. Any thread may ask."""

    def __init__(self, facts: ImageFacts) -> None:
        if len(facts.layer) != facts.pieces:
            raise ValueError(f"{facts.pieces} pieces and {len(facts.layer)} hashes")
        self.facts = facts
        self.descriptor = -1
        self._is_good = bytearray(facts.pieces)

    def span(self, first_byte: int, size_bytes: int) -> range:
        """Return the pieces that a read touches, none beyond the end of the file."""
        end_byte = min(first_byte + size_bytes, self.facts.size_bytes)
        if end_byte <= first_byte:
            return range(0)
        return range(first_byte // self.facts.piece_bytes, (end_byte - 1) // self.facts.piece_bytes + 1)

    def verify(self, index: int, room: memoryview) -> bool:
        """Return whether a piece is there and right; `room`, of a piece's size, is written over."""
        if self._is_good[index]:
            return True
        if not self.open():
            return False
        first_byte = index * self.facts.piece_bytes
        piece = room[: min(self.facts.piece_bytes, self.facts.size_bytes - first_byte)]
        if self._read(piece, first_byte) != len(piece) or self._root(piece) != self.facts.layer[index]:
            return False
        self._is_good[index] = 1
        return True

    def move(self, facts: ImageFacts) -> None:
        """Take note of where the file is, if it was not found yet."""
        if self.descriptor < 0:
            self.facts = facts

    def open(self) -> bool:
        """Open the file if it is there; return whether it is open."""
        if self.descriptor < 0:
            try:
                self.descriptor = os.open(self.facts.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                return False  # nothing was written yet
        return True

    def _root(self, piece: memoryview) -> bytes:
        starts = range(0, len(piece), BLOCK_BYTES)
        blocks = [hashlib.sha256(piece[start : start + BLOCK_BYTES]).digest() for start in starts]
        if self.facts.pieces == 1:
            return merkle_root(blocks, pad=NO_BLOCK)
        return piece_root(blocks, self.facts.piece_bytes // BLOCK_BYTES)

    def _read(self, view: memoryview, first_byte: int) -> int:
        done = 0
        while done < len(view) and (got := os.preadv(self.descriptor, [view[done:]], first_byte + done)):
            done += got
        return done

    def read(self, view: memoryview, first_byte: int) -> int:
        """Fill `view` with verified bytes and return how many there were, fewer only at the file's end."""
        size_bytes = max(0, min(len(view), self.facts.size_bytes - first_byte))
        return self._read(view[:size_bytes], first_byte)

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
