"""Who gets what rate when flows share links: max-min fairness by progressive filling, vectorised.

Follows Bertsekas and Gallager, "Data Networks", section 6.5.2, all bottlenecks of a round frozen at once: a link is a
bottleneck when none of its flows has a smaller share elsewhere, and then its flows have their final rates. A round
costs a few passes over the flows, so a solution costs (flows x rounds). Bytes per second in, bytes per second out. It
knows no topology, packets or time; `netsim.topology` says which links a flow crosses.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_ROUNDING = 1 + 1e-12
EXACT = 1_000_000


def max_min_rates(paths: Ints, capacity: Floats, *, rounds: int = EXACT) -> Floats:
    """Return the max-min fair rate of every flow.

    `paths` has one row a flow: the links it crosses, as places in `capacity`; a short path repeats a link that has
    infinite capacity. With a bound on `rounds` the flows that are left after them get their smallest share, which no
    link minds: feasible, but not the whole of what is there.
    """
    rates = np.zeros(len(paths))
    free = capacity.astype(np.float64, copy=True)
    active = np.arange(len(paths))
    left = paths
    for turn in range(1, rounds + 1):
        if not len(active):
            break
        shares = _shares(left, free)
        own = shares[left].min(axis=1)
        if turn == rounds:
            rates[active] = own
            break
        frozen = _bottlenecked(left, shares, own)
        rates[active[frozen]] = own[frozen]
        _take(free, left[frozen], own[frozen])
        active, left = active[~frozen], left[~frozen]
    return rates


def _shares(paths: Ints, free: Floats) -> Floats:
    """Return what each link can give each of its flows; infinite for a link without flows."""
    flows = np.bincount(paths.ravel(), minlength=len(free))
    shares: Floats = np.divide(free, flows, out=np.full(len(free), np.inf), where=flows > 0)
    return shares


def _bottlenecked(paths: Ints, shares: Floats, own: Floats) -> Flags:
    """Return which flows cross a link whose flows all have their smallest share there."""
    least = np.full(len(shares), np.inf)
    for column in paths.T:
        np.minimum.at(least, column, own)
    is_bottleneck = np.isfinite(shares) & (least * _ROUNDING >= shares)
    frozen = np.any(is_bottleneck[paths] & (shares[paths] <= own[:, None] * _ROUNDING), axis=1)
    return frozen if frozen.any() else np.asarray(own <= own.min() * _ROUNDING)


def _take(free: Floats, paths: Ints, rates: Floats) -> None:
    """Take the rates of frozen flows off their links."""
    for column in paths.T:
        free -= np.bincount(column, weights=rates, minlength=len(free))
    np.maximum(free, 0.0, out=free)
