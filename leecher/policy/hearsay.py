"""What a node believes of what it hears on its LAN, and whom it answers: UDP has no proof of who sent a datagram.

An answer counts if it repeats the random number of a probe that has just gone out, and comes from an address that was
asked or that needs no router to reach. Whoever is on the LAN hears probes and can still answer in another's name, so
what is passed on is bounded too: a few ports an address, so many new ones a second, so many in all. Whom the answers to
a group can be aimed at is bounded likewise. Pure: told what came and when, it says yes or no (docs/decisions/0028).
"""

from __future__ import annotations

from collections import Counter, deque

from swarmboot.text.addresses import is_dialable
from swarmboot.wire.discovery import Presence

PORTS_OF_ONE = 4
"""How many ports one address may have: a forger makes no node try all of its ports."""

ENDPOINTS_MAX = 1024
ENDPOINTS_AT_ONCE, ENDPOINTS_PER_S = 128, 8.0
NONCES_KEPT = 3
"""How many probes are remembered: one goes out every second, and an answer is late by two at most."""

GROUP_ANSWERS_PER_S, ANSWERS_PER_S, ANSWERS_MAX_PER_S = 4, 64, 256


class Hearsay:
    """Which answers to a node's probes are passed on. `is_here` says that the node lives on the loopback interface."""

    def __init__(self, *, is_here: bool) -> None:
        self._is_here = is_here
        self._nonces: deque[bytes] = deque(maxlen=NONCES_KEPT)
        self._asked: set[str] = set()
        self._endpoints: set[tuple[str, int]] = set()
        self._of_one: Counter[str] = Counter()
        self._left = float(ENDPOINTS_AT_ONCE)
        self._left_s = 0.0

    def probed(self, nonce: bytes) -> None:
        """Take note that a probe with this number goes out."""
        self._nonces.append(nonce)

    def asked(self, host: str) -> None:
        """Take note that an address is asked by itself, as the settings say."""
        self._asked.add(host)

    def was_asked(self, host: str) -> bool:
        """Return whether an address was asked by itself."""
        return host in self._asked

    def is_believed(self, host: str, presence: Presence, *, is_on_link: bool, now_s: float) -> bool:
        """Return whether to pass on an answer from `host`.

        Nodes of before there were numbers repeat none; theirs count only from addresses that were asked.
        """
        is_asked = host in self._asked
        is_ours = presence.nonce in self._nonces or (is_asked and not presence.nonce)
        if not is_ours or not (is_asked or is_on_link) or not is_dialable(host, is_here=self._is_here):
            return False
        return (host, presence.port) in self._endpoints or self._has_room(host, presence.port, now_s)

    def _has_room(self, host: str, port: int, now_s: float) -> bool:
        self._left = min(float(ENDPOINTS_AT_ONCE), self._left + (now_s - self._left_s) * ENDPOINTS_PER_S)
        self._left_s = now_s
        if self._left < 1.0 or len(self._endpoints) >= ENDPOINTS_MAX or self._of_one[host] >= PORTS_OF_ONE:
            return False
        self._left -= 1.0
        self._endpoints.add((host, port))
        self._of_one[host] += 1
        return True


class AnswerLimit:
    """Which probes are answered: so many an address and in all, within each second."""

    def __init__(self) -> None:
        self._second = 0
        self._answered: Counter[str] = Counter()

    def may_answer(self, host: str, *, is_of_group: bool, now_s: float) -> bool:
        """Return whether to answer a probe, and count it; one to the group is answered by everybody who hears it."""
        if int(now_s) != self._second:
            self._second = int(now_s)
            self._answered.clear()
        most = GROUP_ANSWERS_PER_S if is_of_group else ANSWERS_PER_S
        if self._answered[host] >= most or self._answered.total() >= ANSWERS_MAX_PER_S:
            return False
        self._answered[host] += 1
        return True
