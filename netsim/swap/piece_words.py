"""Sets of pieces as 64-bit words, so that a fleet's sets are one array: piece i is bit i % 64 of word i // 64."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from swarmboot.release import piece_set
from swarmboot.release.piece_set import Pieces

WORD = 64
Words = npt.NDArray[np.uint64]

_ONE = np.uint64(1)
_bitwise_count = getattr(np, "bitwise_count", None)


def full_words(count: int) -> Words:
    """Return the set of the first `count` pieces."""
    width = -(-count // WORD)
    return np.frombuffer(piece_set.all_pieces(count).to_bytes(8 * width, "little"), np.dtype("<u8")).astype(np.uint64)


def to_pieces(words: Words) -> Pieces:
    """Return the same set as an integer."""
    return int.from_bytes(words.astype("<u8").tobytes(), "little")


def popcount(words: Words) -> npt.NDArray[np.int64]:
    """Return how many bits each word has."""
    if _bitwise_count is not None:
        return np.asarray(_bitwise_count(words), np.int64)
    halves = np.ascontiguousarray(words).view(np.uint16).reshape(-1, 4)
    counts: npt.NDArray[np.int64] = _counts_of_halves()[halves].sum(axis=1, dtype=np.int64)
    return counts


@cache
def _counts_of_halves() -> npt.NDArray[np.uint8]:
    return np.array([value.bit_count() for value in range(1 << 16)], np.uint8)


def low_bits(words: Words, most: int, random: np.random.Generator | None = None) -> Words:
    """Return up to `most` bits of each word: the lowest, or those that follow a random one if `random` is given."""
    if most >= WORD:
        return words.copy()
    turn = np.zeros(len(words), np.uint64) if random is None else random.integers(0, WORD, len(words), np.uint64)
    back = (np.uint64(WORD) - turn) & np.uint64(WORD - 1)
    rest = (words >> turn) | (words << back)
    chosen = np.zeros_like(rest)
    for _ in range(most):
        low = rest & (~rest + _ONE)
        chosen |= low
        rest ^= low
    turned: Words = (chosen << turn) | (chosen >> back)
    return turned
