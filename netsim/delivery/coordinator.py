"""The seeder's tracker on simulated time: announces in, handouts out, as `seeder.serve.app` carries them.

Deviations: an announce takes `announce_s` of one processor, first come first served, and half a round trip each way;
its bytes are counted but do not queue behind image bytes. A dead seeder refuses at once, as a killed process does.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from netsim.delivery.policy_loop import Action
from seeder.policy.tracker import Answer, Tracker
from swarmboot.wire.announce import Announce, Handout

ANNOUNCE_S = 0.0007
"""Processor time of one announce over TLS: what `seeder.policy.limits.Limits.announces_per_s` stands for."""

HANDOUT_BYTES = 900
"""An HTTP answer with a handout, about, headers and all."""

OnAnswer = Callable[[Handout | None, float], None]


class Coordinator:
    """A tracker, its queue of announces and its timer. `at` runs an action at a later moment."""

    def __init__(self, tracker: Tracker, *, at: Callable[[float, Action], None], latency_s: float) -> None:
        self.tracker = tracker
        self.is_dead = False
        self.answered = 0
        self._at = at
        self._latency_s = latency_s
        self._free_s = 0.0
        self._asked: dict[int, OnAnswer] = {}
        self._next_ticket = 0
        self._due_s = math.inf

    def post(self, announce: Announce, *, host: str, now_s: float, on_answer: OnAnswer) -> None:
        """Carry an announce to the tracker; `on_answer` gets the handout, or None if there is nobody."""
        arrives_s = max(now_s + self._latency_s, self._free_s)
        self._free_s = arrives_s + ANNOUNCE_S
        self._at(self._free_s, lambda then_s: self._take(announce, host, then_s, on_answer))

    def die(self, now_s: float) -> None:
        """End the seeder: everyone who waits gets no answer."""
        self.is_dead = True
        asked, self._asked = self._asked, {}
        for on_answer in asked.values():
            on_answer(None, now_s)

    def _take(self, announce: Announce, host: str, now_s: float, on_answer: OnAnswer) -> None:
        if self.is_dead:
            on_answer(None, now_s)
            return
        self._next_ticket += 1
        self._asked[self._next_ticket] = on_answer
        self._deliver(self.tracker.announce(self._next_ticket, announce, host=host, now_s=now_s), now_s)

    def _deliver(self, answers: list[Answer], now_s: float) -> None:
        for answer in answers:
            assert isinstance(answer.ticket, int)
            self._send(self._asked.pop(answer.ticket), answer.handout, now_s)
        due_s = self.tracker.next_tick_s(now_s=now_s)
        if due_s is not None and (due_s < self._due_s or self._due_s <= now_s):
            self._due_s = due_s
            self._at(due_s, self._tick)

    def _send(self, on_answer: OnAnswer, handout: Handout, now_s: float) -> None:
        self.answered += 1
        self._at(now_s + self._latency_s, lambda then_s: on_answer(handout, then_s))

    def _tick(self, now_s: float) -> None:
        if self.is_dead or now_s < self._due_s:
            return
        self._due_s = math.inf
        self._deliver(self.tracker.tick(now_s=now_s), now_s)
