"""The ranges of pieces that a node fetches from origins: begun and aborted as the policy wants, and their ends."""

from __future__ import annotations

from collections.abc import Callable

from leecher.origin.background import BackgroundRequests
from leecher.policy.node_policy import Policy
from leecher.policy.requests import PieceRange
from leecher.swarm.counters import BootCounters
from swarmboot.errors import OriginError, TransferError
from swarmboot.release.manifest import Artifact


class OriginRanges:
    """What is under way from origins; which of them are slow or have nothing. `tell` takes lines for the console."""

    def __init__(
        self, requests: BackgroundRequests, policy: Policy, counters: BootCounters, tell: Callable[[str], None]
    ) -> None:
        self._requests = requests
        self._policy = policy
        self._counters = counters
        self._tell = tell
        self._slow: set[str] = set()
        self._without: set[str] = set()

    @property
    def is_nowhere(self) -> bool:
        """Return whether no origin has what the manifest names, as they all say."""
        return bool(self._policy.origins) and self._without.issuperset(self._policy.origins)

    def fetch(self, piece_range: PieceRange, artifact: Artifact) -> None:
        """Begin to fetch a range; its pieces come back as PieceReceived, its end as RangeEnded."""
        self._requests.fetch(piece_range, artifact)
        self._counters.rescues = self._policy.rescues

    def tell_progress(self, *, now_s: float) -> None:
        """Tell the policy how much has come of each range under way."""
        for number, received_bytes in self._requests.progress():
            self._policy.range_progressed(number, received_bytes, now_s=now_s)

    def abort(self, piece_range: PieceRange) -> None:
        """End a range that is too slow, and say so once of each origin."""
        self._requests.abort(piece_range)
        if piece_range.origin not in self._slow:
            self._slow.add(piece_range.origin)
            self._tell(f"{piece_range.origin} sends too little; fetching elsewhere")

    def ended(self, piece_range: PieceRange, failure: TransferError | None, *, now_s: float) -> None:
        """Tell the policy that a range has ended, and say so if its origin fails for the first time."""
        if failure is None:
            self._without.discard(piece_range.origin)
        elif isinstance(failure, OriginError) and failure.is_gone:
            self._without.add(piece_range.origin)
        if failure is not None and self._policy.failures_of(piece_range.origin) == 0:
            self._tell(f"{failure}; trying again")
        self._policy.range_ended(piece_range.number, is_whole=failure is None, now_s=now_s)
