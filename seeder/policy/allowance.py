"""How often each address may do what costs the seeder something: a bucket of tokens for each, and one for all of them.

Counted in requests. Pure: the time comes in. It will not say no for good: an address that waits is let in again.
"""

from __future__ import annotations

from collections import OrderedDict

from seeder.token_bucket import TokenBucket

_ADDRESSES_MAX = 4096


class Allowance:
    """Lets each address have `burst` at once and `per_s` after that, and all of them together four times as much.

    Remembers the addresses that asked last, a bounded number of them.
    """

    def __init__(self, *, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._all = TokenBucket(4.0 * burst, 0.0)

    def has(self, address: str, *, now_s: float) -> bool:
        """Return whether this address has anything left of its own."""
        bucket = self._buckets.get(address)
        return bucket is None or bucket.has(now_s, per_s=self._per_s)

    def give_back(self, address: str) -> None:
        """Let this address do it once more."""
        if bucket := self._buckets.get(address):
            bucket.tokens = min(self._burst, bucket.tokens + 1.0)

    def take(self, address: str, *, now_s: float) -> bool:
        """Return whether this address may do it now, and count that it does."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(self._burst, now_s)
            if len(self._buckets) > _ADDRESSES_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        is_within = bucket.take(now_s, per_s=self._per_s, burst=self._burst)
        return is_within and self._all.take(now_s, per_s=4.0 * self._per_s, burst=4.0 * self._burst)
