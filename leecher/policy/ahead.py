"""How much a neighbour may ask of a node ahead of what it was sent (BEP 10, `reqq`). Pure; bytes, bytes per second."""

from __future__ import annotations

_AHEAD_S = 0.0025
"""How long a request and what it asks for are on their way in a LAN whose links are not full."""

_SEED_AHEAD_S = 0.004
_SEED_AHEAD_BYTES, _SEED_AHEAD_MAX_BYTES = 1 << 17, 1 << 19
"""What a node that has everything lets each neighbour ask for ahead: a fast link never waits for the next request."""


def ahead_bytes(piece_bytes: int, link_bytes_per_s: float) -> int:
    """Return how much a neighbour may ask ahead of a node that fetches: what its link carries meanwhile.

    From half a piece to a whole one, and a whole one if nobody says how fast links are. Whatever is more than the link
    needs waits behind what others have asked for, and fresh pieces wait with it (docs/decisions/0022).
    """
    if not link_bytes_per_s:
        return piece_bytes
    return max(piece_bytes // 2, min(piece_bytes, round(link_bytes_per_s * _AHEAD_S)))


def seed_ahead_bytes(piece_bytes: int, link_bytes_per_s: float) -> int:
    """Return how much a neighbour may ask ahead of a node that has everything; `link_bytes_per_s` is 0 for unknown.

    What the link carries meanwhile, a piece or 128 KiB at least and 512 KiB at most: nothing fresh waits behind it, but
    more would be on order at one node although others could send it (docs/decisions/0023).
    """
    under_way_bytes = min(_SEED_AHEAD_MAX_BYTES, round(link_bytes_per_s * _SEED_AHEAD_S))
    return max(piece_bytes, _SEED_AHEAD_BYTES, under_way_bytes)
