"""What bounds a handout: one value, which the seeder's operator and the tests set. Bytes, seconds, bytes per second."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a handout.

    `pipe_s` is how long one leased piece may take when every open lease shares the uplink, and `least_open` how many
    leases are open whatever that says, for a node needs a moment to ask for its next; `announces_per_s` is what the
    seeder's processor affords, and `announce_share` the part of the uplink that answers to announces may take;
    `settle_s` is the least that neighbours have to show what they can do.
    `rack_neighbours` is how many of its rack a newcomer is told to dial, and `rack_links` how many connections it is
    brought up to afterwards, if not so many have dialled it: half of both while the rack grows and a piece takes
    `long_piece_s` or more. `fair_share` is how much of one uplink they should come to; `far_links_least` how many links
    a rack has to others, however small it is.
    """

    uplink_bytes_per_s: float
    origins: int = 1
    lease_bytes: int = 1 << 20
    least_pieces: int = 4
    pipe_s: float = 0.2
    least_open: int = 8
    rack_neighbours: int = 4
    rack_links: int = 8
    long_piece_s: float = 0.03
    fair_share: float = 0.9
    far_neighbours: int = 1
    far_links_least: int = 4
    links_most: int = 64
    interval_s: float = 1.0
    idle_interval_s: float = 5.0
    announces_per_s: float = 1500.0
    announce_share: float = 0.01
    settle_s: float = 1.0
