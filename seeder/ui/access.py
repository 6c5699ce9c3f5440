"""Who may see the page: whoever brings the token, as a header or as the cookie that signing in with it gave.

A cookie says until when it is good, under a key made of the token's digest (HMAC-SHA256, RFC 2104): nothing is kept for
it, it outlives a restart, and another token ends it. Wrong tokens are counted by address, and an address that has given
too many is not listened to for a while. Pure: times are handed in.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict

from seeder.record.access import is_bearer
from swarmboot.text.addresses import counted_as

SESSION_S = 12 * 3600
TRIES_MAX, TRIES_S = 5, 60.0
_ADDRESSES_MAX = 4096


class Access:
    """Judges tokens and cookies; `token` is the digest of the right token, empty where there is none."""

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._key = hmac.digest(token, b"swarmboot page session 1", "sha256")
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def has_token(self) -> bool:
        """Return whether there is a token that anybody could bring."""
        return bool(self._token)

    def is_shut(self, host: str, *, now_s: float) -> bool:
        """Return whether an address has given so many wrong tokens that it is not listened to now."""
        count, since_s = self._wrong.get(counted_as(host), (0, now_s))
        return count >= TRIES_MAX and now_s - since_s < TRIES_S

    def is_token(self, header: str, host: str, *, now_s: float) -> bool:
        """Return whether an `Authorization` header brings the token; a wrong one is counted against its address."""
        if not header or not self._token or self.is_shut(host, now_s=now_s):
            return False
        if is_bearer(header, self._token):
            return True
        place = counted_as(host)
        count, since_s = self._wrong.pop(place, (0, now_s))
        self._wrong[place] = (count + 1, since_s) if now_s - since_s < TRIES_S else (1, now_s)
        if len(self._wrong) > _ADDRESSES_MAX:
            self._wrong.popitem(last=False)
        return False

    def cookie(self, *, now_unix_s: float) -> str:
        """Return the value of a cookie that is good for SESSION_S."""
        until = str(int(now_unix_s) + SESSION_S)
        return f"{until}.{self._code(until)}"

    def is_session(self, cookie: str, *, now_unix_s: float) -> bool:
        """Return whether a cookie is one of ours that has not ended."""
        until, _, code = cookie.partition(".")
        is_ours = hmac.compare_digest(self._code(until).encode(), code.encode("utf-8", "surrogateescape"))
        return is_ours and self.has_token and until.isdecimal() and now_unix_s < int(until)

    def _code(self, until: str) -> str:
        return hmac.digest(self._key, until.encode("utf-8", "surrogateescape"), "sha256").hex()
