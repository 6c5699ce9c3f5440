"""What one boot has taken so far: seconds by phase, bytes by source, failures; it becomes the boot report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from leecher.origin.proving import Proving, proving_of
from swarmboot.crypto.fleet_token import decode_credentials
from swarmboot.errors import SwarmbootError
from swarmboot.ids import NodeId, NodeKey, new_node_id, new_node_key
from swarmboot.settings import NodeSettings
from swarmboot.wire.about import About
from swarmboot.wire.report import BANS_MAX, FAILED, VERIFIED, BootReport


@dataclass(slots=True)
class BootCounters:
    """The counts of one boot. Seconds on the monotonic clock; bytes as received, duplicates included.

    But `whole_from_neighbours_bytes` are those of verified pieces that came from no origin, and from no cache.

    `node` and `key` are who the node is to the seeder; the key is told to nobody else. `proving` shows that it is
    one of the fleet's. `about` is which machine this is, once that is known; `hands_off` and `bans` are as in reports.
    """

    node: NodeId
    started_s: float
    rack: str = ""
    profile: str = ""
    sequence: int = 0
    total_bytes: int = 0
    from_origin_bytes: int = 0
    from_neighbours_bytes: int = 0
    from_cache_bytes: int = 0
    whole_from_neighbours_bytes: int = 0
    hash_failures: int = 0
    rescues: int = 0
    have_bytes: int = 0
    has_cache: bool = False
    is_complete: bool = False
    is_told: bool = False
    stage0: str = ""
    channel: str = ""
    hands_off: bool = False
    bans: tuple[str, ...] = ()
    about: About | None = None
    key: NodeKey = field(default_factory=new_node_key, repr=False)
    proving: Proving = field(default_factory=Proving, repr=False)
    phases: dict[str, float] = field(default_factory=dict)
    _phase_s: float = 0.0

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the boot began."""
        return time.monotonic() - self.started_s

    def take_new_name(self) -> None:
        """Be another to the seeder: occurs when it says that this id is somebody else's."""
        self.node, self.key = new_node_id(), new_node_key()

    def end_phase(self, name: str) -> None:
        """Record that a phase has ended now, unless it had ended already; the next one begins."""
        if name in self.phases:
            return
        now_s = time.monotonic()
        self.phases[name] = now_s - (self._phase_s or self.started_s)
        self._phase_s = now_s

    @property
    def bytes_from(self) -> dict[str, int]:
        """Return the bytes by source; the cache only where there was one."""
        cache = {"cache": self.from_cache_bytes} if self.has_cache else {}
        return {"neighbours": self.from_neighbours_bytes, "origin": self.from_origin_bytes, **cache}

    def report(self, error: SwarmbootError | None = None) -> BootReport:
        """Return the boot's report as of now."""
        return BootReport(
            node=self.node.hex(),
            outcome=FAILED if error else VERIFIED,
            sequence=self.sequence,
            profile=self.profile,
            rack=self.rack,
            error=str(error)[:1024] if error else "",
            exit_status=error.exit_status if error else 0,
            phases=dict(self.phases),
            bytes_from=self.bytes_from,
            hash_failures=self.hash_failures,
            rescues=self.rescues,
            stage0=self.stage0[:1024],
            finished_unix_s=time.time(),
            channel=self.channel,
            bans=self.bans[:BANS_MAX],
            hands_off=self.hands_off and error is None,
            key=self.key,
        )


def open_counters(
    settings: NodeSettings, *, started_s: float, credentials: str = "", tell: Callable[[str], None]
) -> BootCounters:
    """Return a new boot's counters; `credentials` say as whom it is to announce, if an earlier boot has left some.

    Raises KeyFileError if the fleet token cannot be used.
    """
    known = decode_credentials(credentials)
    if known is not None:
        node, key, prover = known
        given = Proving(one=prover)
        return BootCounters(
            node, started_s, rack=settings.rack, channel=settings.channel, key=NodeKey(key), proving=given
        )
    proving = proving_of(settings)
    if proving.tokens and settings.server.startswith("http:"):
        tell("the fleet token is not used: swarmboot.server is no https:// address")
    return BootCounters(new_node_id(), started_s, rack=settings.rack, channel=settings.channel, proving=proving)
