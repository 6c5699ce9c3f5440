"""The exchange of nodes that want some pieces before others: what libtorrent's priorities and deadlines do.

A node that has several pieces to ask a neighbour for asks for one of its `first` ones, however rare the others are
(`leecher.policy.urgency`). Deviations, beside those of `netsim.swap.exchange`: a deadline does not have a piece asked
of two neighbours at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from netsim.scenario.arrays import Flags, Floats, Ints
from netsim.swap.exchange import PieceExchange
from netsim.swap.piece_words import WORD, Words
from swarmboot.release.piece_set import Pieces


class LazyExchange(PieceExchange):
    """`on_awaited` is called with an end, and when, once it has every piece that it waits for."""

    def __init__(self, *given: Any, on_awaited: Callable[[int, float], None], **named: Any) -> None:
        super().__init__(*given, **named)
        self._first: Words = np.zeros_like(self.have)
        self._awaited: Words = np.zeros_like(self.have)
        self._is_waiting: Flags = np.zeros(self._ends, np.bool_)
        self._on_awaited = on_awaited

    def prefer(self, end: int, torrent: int, pieces: Pieces) -> None:
        """Have an end ask for these pieces before others."""
        self._first[self._rows(torrent), end] |= self._words_of(torrent, pieces)

    def wait(self, end: int, wanted: Iterable[tuple[int, Pieces]]) -> bool:
        """Have an end wait for these pieces of each torrent; return whether any of them is not there."""
        self._awaited[:, end] = 0
        for torrent, pieces in wanted:
            self._awaited[self._rows(torrent), end] = self._words_of(torrent, pieces)
        self._is_waiting[end] = bool((self._lacks[:, end] & self._awaited[:, end]).any())
        return bool(self._is_waiting[end])

    def insert(self, end: int, torrent: int, piece: int, now_s: float) -> None:
        """Count a piece that came from elsewhere than a neighbour."""
        super().insert(end, torrent, piece, now_s)
        self._look(np.array([end]))

    def _wanted(self, nodes: Ints, peers: Ints) -> tuple[Words, Flags]:
        want, is_again = super()._wanted(nodes, peers)
        first = want & self._first.take(nodes, axis=1)
        has_first = (np.bitwise_or.reduce(first) != 0).nonzero()[0]
        want[:, has_first] = first[:, has_first]
        return want, is_again

    def _gain(self, cells: Ints, bits: Words, times_s: Floats) -> None:
        super()._gain(cells, bits, times_s)
        self._look(np.unique(cells % self._ends))

    def _look(self, ends: Ints) -> None:
        ends = ends[self._is_waiting[ends]]
        if not len(ends):
            return
        left = np.bitwise_or.reduce(self._lacks[:, ends] & self._awaited[:, ends])
        for end in ends[left == 0].tolist():
            self._is_waiting[end] = False
            self._on_awaited(end, float(self.touched_s[end]))

    def _rows(self, torrent: int) -> slice:
        return slice(int(self.starts[torrent]), int(self.starts[torrent + 1]))

    def _words_of(self, torrent: int, pieces: Pieces) -> Words:
        width = int(self.starts[torrent + 1] - self.starts[torrent])
        return np.frombuffer(pieces.to_bytes(width * WORD // 8, "little"), np.dtype("<u8")).astype(np.uint64)
