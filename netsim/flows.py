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
    columns = [np.ascontiguousarray(column) for column in paths.T]
    for turn in range(1, rounds + 1):
        if not len(active):
            break
        shares = _shares(columns, free)
        each = [shares[column] for column in columns]
        own = np.minimum.reduce(each)
        if turn == rounds:
            rates[active] = own
            break
        frozen = _bottlenecked(columns, shares, each, own)
        rates[active[frozen]] = own[frozen]
        if frozen.all():
            break
        _take(free, [column[frozen] for column in columns], own[frozen])
        left = ~frozen
        active, columns = active[left], [column[left] for column in columns]
    return rates


def _shares(columns: list[Ints], free: Floats) -> Floats:
    """Return what each link can give each of its flows; infinite for a link without flows."""
    flows = np.bincount(np.concatenate(columns), minlength=len(free))
    shares: Floats = np.divide(free, flows, out=np.full(len(free), np.inf), where=flows > 0)
    return shares


def _bottlenecked(columns: list[Ints], shares: Floats, each: list[Floats], own: Floats) -> Flags:
    """Return which flows cross a link whose flows all have their smallest share there."""
    least = np.full(len(shares), np.inf)
    for column in columns:
        np.minimum.at(least, column, own)
    is_bottleneck = np.isfinite(shares) & (least * _ROUNDING >= shares)
    most = own * _ROUNDING
    frozen = np.zeros(len(own), np.bool_)
    for column, there in zip(columns, each, strict=True):
        frozen |= is_bottleneck[column] & (there <= most)
    return frozen if frozen.any() else np.asarray(own <= own.min() * _ROUNDING)


def _take(free: Floats, columns: list[Ints], rates: Floats) -> None:
    """Take the rates of frozen flows off their links."""
    for column in columns:
        free -= np.bincount(column, weights=rates, minlength=len(free))
    np.maximum(free, 0.0, out=free)
