"""Which ranges are too slow to be waited for, and which origins are passed over because of that.

A range is given up when nothing of it has come for as long as the node has patience, which is what plain HTTPS would
take for a piece where a rack shares a slow uplink (docs/decisions/0012), or when another origin has just been many
times as fast. Each time an origin is given up it is given twice as long the next time, so that a link on which a piece
takes a minute brings it in the end. Pure: it is told what has come and when (docs/decisions/0033).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarmboot.backoff import doubled_s

STEP_BYTES = 1 << 15
"""In such steps it is told what has come: so much may be there that nobody knows of."""

_TIMES_SLOWER = 8.0
_YOUNG_S = 2.0
_FRESH_S = 30.0
_SHUNNED_S, _SHUNNED_MAX_S = 15.0, 240.0


@dataclass(slots=True)
class _Watched:
    origin: str
    began_s: float
    moved_s: float
    received_bytes: int = 0
    is_told_of: bool = False


class Slowness:
    """One node's ranges and the rates of the origins they come from. Only ranges that it is told of are judged."""

    def __init__(self) -> None:
        self._ranges: dict[int, _Watched] = {}
        self._rates: dict[str, tuple[float, float]] = {}
        self._strikes: dict[str, int] = {}
        self._shunned_until_s: dict[str, float] = {}

    @property
    def is_watching(self) -> bool:
        """Return whether there is a range to judge."""
        return any(piece_range.is_told_of for piece_range in self._ranges.values())

    def began(self, number: int, origin: str, *, now_s: float) -> None:
        """Occurs when a range is asked for."""
        self._ranges[number] = _Watched(origin, now_s, now_s)

    def progressed(self, number: int, received_bytes: int, *, now_s: float) -> None:
        """Take note of how much of a range has come."""
        piece_range = self._ranges.get(number)
        if piece_range is None:
            return
        piece_range.is_told_of = True
        if received_bytes > piece_range.received_bytes:
            piece_range.received_bytes, piece_range.moved_s = received_bytes, now_s

    def ended(self, number: int, *, size_bytes: int, now_s: float) -> None:
        """Occurs when a range has ended; `size_bytes` is 0 if it is not whole."""
        piece_range = self._ranges.pop(number, None)
        if piece_range is not None and size_bytes and now_s > piece_range.began_s:
            self._rates[piece_range.origin] = (size_bytes / (now_s - piece_range.began_s), now_s)
            self._strikes.pop(piece_range.origin, None)

    def given_up(self, *, now_s: float, patience_s: float) -> list[int]:
        """Return the ranges not to be waited for any longer, and pass their origins over for a while."""
        slow = [
            number
            for number, piece_range in self._ranges.items()
            if piece_range.is_told_of and self._is_slow(piece_range, now_s, patience_s)
        ]
        for origin in {self._ranges[number].origin for number in slow}:
            strikes = self._strikes[origin] = self._strikes.get(origin, 0) + 1
            self._shunned_until_s[origin] = now_s + doubled_s(_SHUNNED_S, _SHUNNED_MAX_S, strikes)
        return slow

    def _is_slow(self, piece_range: _Watched, now_s: float, patience_s: float) -> bool:
        if now_s - piece_range.moved_s >= patience_s * 2.0 ** min(self._strikes.get(piece_range.origin, 0), 10):
            return True
        age_s = now_s - piece_range.began_s
        rates = [
            rate
            for origin, (rate, at_s) in self._rates.items()
            if origin != piece_range.origin and now_s - at_s < _FRESH_S
        ]
        might_bytes_per_s = (piece_range.received_bytes + STEP_BYTES) / max(age_s, _YOUNG_S)
        return age_s >= _YOUNG_S and might_bytes_per_s * _TIMES_SLOWER < max(rates, default=0.0)

    def choose(self, wanted: str, origins: Sequence[str], *, now_s: float) -> str:
        """Return the origin to ask: the one wanted, or the first that is not passed over."""
        able = [each for each in (wanted, *origins) if self._shunned_until_s.get(each, 0.0) <= now_s]
        return able[0] if able else wanted
