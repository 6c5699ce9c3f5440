"""How often each address may do what costs the seeder something: a bucket of tokens for each, and one for all of them.

Counted in requests. Pure: the time comes in. It will not say no for good: an address that waits is let in again.
"""

from __future__ import annotations

from collections import OrderedDict

from seeder.token_bucket import TokenBucket

_ADDRESSES_MAX = 4096


class Allowance:
    """Lets each address have `burst` at once and `per_s` after that, and all of them `together` times as much.

    Remembers the addresses that asked last, a bounded number of them.
    """

    def __init__(self, *, per_s: float, burst: float, together: float = 4.0) -> None:
        self._per_s = per_s
        self._burst = burst
        self._together = together
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._all = TokenBucket(together * burst, 0.0)

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
        is_within = self._bucket(address, now_s).take(now_s, per_s=self._per_s, burst=self._burst)
        together = self._together
        return is_within and self._all.take(now_s, per_s=together * self._per_s, burst=together * self._burst)

    def take_some(self, address: str, wanted: int, *, now_s: float) -> int:
        """Return how many times, of those wanted, this address may do it now, and count them."""
        own, together = self._bucket(address, now_s), self._together
        has = own.fill(now_s, per_s=self._per_s, burst=self._burst)
        all_have = self._all.fill(now_s, per_s=together * self._per_s, burst=together * self._burst)
        taken = min(wanted, has, all_have)
        own.tokens -= taken
        self._all.tokens -= taken
        return taken

    def _bucket(self, address: str, now_s: float) -> TokenBucket:
        """Return an address's bucket, the last to be forgotten."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(self._burst, now_s)
            if len(self._buckets) > _ADDRESSES_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        return bucket
