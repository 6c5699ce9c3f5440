"""What happens in other threads until the next step takes it in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from leecher.policy.events import Fact


class Inbox:
    """Facts in the order in which they came; any thread may post. `wake` is called, in that thread, with each."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.is_woken = True
        self._facts: deque[Fact] = deque()

    def post(self, fact: Fact) -> None:
        """Add a fact; whether the policy is to be asked at once is told when it is taken."""
        self._facts.append(fact)
        self.wake()

    def hurry(self) -> None:
        """Have the next step come at once, and ask the policy."""
        self.is_woken = True
        self.wake()

    def take(self) -> Iterator[Fact]:
        """Yield what has come, those facts too that come meanwhile."""
        while self._facts:
            yield self._facts.popleft()
