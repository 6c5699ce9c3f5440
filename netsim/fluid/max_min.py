"""Who gets what rate when flows share links: max-min fairness by progressive filling, vectorised.

Follows Bertsekas and Gallager, "Data Networks", section 6.5.2, all bottlenecks of a round frozen at once: a link is a
bottleneck when none of its flows has a smaller share elsewhere, and then its flows have their final rates. A round
costs a few passes over the flows, so a solution costs (flows x rounds). Bytes per second in, bytes per second out. It
knows no topology, packets or time; `netsim.fluid.topology` says which links a flow crosses.
"""

from __future__ import annotations

import numpy as np

from netsim.scenario.arrays import Flags, Floats, Ints

_ROUNDING = 1 + 1e-12
EXACT = 1_000_000


def max_min_rates(paths: Ints, capacity: Floats, *, weights: Floats | None = None, rounds: int = EXACT) -> Floats:
    """Return the max-min fair rate of every flow.

    `paths` has one row a hop and one column a flow: the links it crosses, as indices into `capacity`; a short path
    repeats a link that has infinite capacity. `weights`, whole numbers, say how many shares a flow takes: as many
    as so many flows of its path would. With a bound on `rounds` the flows that are left after them get their smallest
    share, which no link minds: feasible, but not the whole of what is there.
    """
    links = len(capacity)
    rates = np.zeros(paths.shape[1])
    free = capacity.astype(np.float64, copy=True)
    active: Ints | None = None
    with np.errstate(divide="ignore", invalid="ignore"):
        for turn in range(1, rounds + 1):
            flows = _shares(paths, weights, links)
            each = (free / flows).take(paths)
            own = np.minimum.reduce(each)
            frozen = _bottlenecked(paths, flows, each, own, weights)
            gone = frozen.nonzero()[0]
            if turn == rounds or len(gone) == len(own):
                _put(rates, active, own if weights is None else own * weights)
                break
            own = own[gone] if weights is None else own[gone] * weights[gone]
            _put(rates, gone if active is None else active[gone], own)
            _take(free, paths.take(gone, axis=1), own)
            left = (~frozen).nonzero()[0]
            active = left if active is None else active[left]
            paths = paths.take(left, axis=1)
            weights = None if weights is None else weights[left]
    return rates


def _shares(paths: Ints, weights: Floats | None, links: int) -> Floats | Ints:
    """Return how many shares each link is cut into."""
    of_flows = None if weights is None else np.concatenate([weights] * len(paths))
    return np.bincount(paths.reshape(-1), weights=of_flows, minlength=links)


def _bottlenecked(paths: Ints, flows: Floats | Ints, each: Floats, own: Floats, weights: Floats | None) -> Flags:
    """Return which flows cross a link whose flows all have their smallest share there."""
    tight = each <= own * _ROUNDING
    tight_shares = tight if weights is None else tight * weights
    is_bottleneck = np.bincount(paths.reshape(-1), weights=tight_shares.reshape(-1), minlength=len(flows)) == flows
    there = is_bottleneck.take(paths)
    there &= tight
    frozen: Flags = np.logical_or.reduce(there)
    return frozen if frozen.any() else own <= own.min(initial=np.inf) * _ROUNDING


def _put(rates: Floats, indices: Ints | None, values: Floats) -> None:
    """Give flows their rates; no indices stand for all of them."""
    if indices is None:
        rates[:] = values
    else:
        rates[indices] = values


def _take(free: Floats, paths: Ints, rates: Floats) -> None:
    """Take the rates of frozen flows off their links."""
    free -= np.bincount(paths.reshape(-1), weights=np.concatenate([rates] * len(paths)), minlength=len(free))
    np.maximum(free, 0.0, out=free)
