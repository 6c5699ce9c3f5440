"""Carries what the running seeder hears into the record, and the record to whoever asks.

What it is told costs a few microseconds: facts change values in memory, and once a second what has changed is handed
to the thread that writes. How far nodes are is taken from the registry, once a second, not from each announce.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from seeder.policy.facts.node import Node
from seeder.policy.facts.registry import Registry
from seeder.record.policy import facts
from seeder.record.policy.addressless import Addressless
from seeder.record.policy.boot import Boot, Outcome
from seeder.record.policy.facts import Heard
from seeder.record.policy.ledger import CURRENT_MAX, Ledger
from seeder.record.policy.pace import FLOOR_S
from seeder.record.policy.view import Traffic, View, build_view
from seeder.record.site_facts import SiteFacts, releases, site_facts
from seeder.record.store import Bounds, read_current
from seeder.record.writer import Writer
from seeder.site.catalogue import Catalogue
from seeder.site.lifetimes import Lifetime
from swarmboot.ids import NodeId
from swarmboot.wire.about import About
from swarmboot.wire.announce import Announce, NodeState
from swarmboot.wire.report import BootReport

SWEEP_S = 1.0
SITE_S = 5.0
_SEED_NEWS_S, _PROGRESS_NEWS_S = 240.0, 10.0
"""How often a node's word that it is still there, or how far it is, is worth a write."""

_AT_ONCE = 64
"""So many nodes are looked at before somebody else's request is."""

_RATE_S = 3.0
_HISTORY_MAX = 600
"""So many samples of the uplink are kept, one a sweep."""


class Recorder:
    """The record of one running seeder; `folder` is where the history is, None for none.

    No phase is too long before `stuck_after_s`.
    `clock` is Unix time, `steady` the registry's. `lives` are those of the server's certificates.
    """

    def __init__(
        self,
        registry: Registry,
        catalogue: Catalogue,
        *,
        folder: Path | None = None,
        bounds: Bounds = Bounds(),  # noqa: B008 - a frozen value
        stuck_after_s: float = FLOOR_S,
        tell: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.limit_bytes_per_s = 0.0
        self.sent_bytes: Callable[[], int] = lambda: 0
        self.sent_of: Counter[str] = Counter()
        self.lives: Callable[[], Sequence[Lifetime]] = lambda: ()
        self.addressless = Addressless()
        self._registry, self._catalogue = registry, catalogue
        self._tell, self._clock, self._steady = tell, clock, steady
        self._ledger = Ledger(self._read_current(), floor_s=stuck_after_s)
        self._writer = Writer(folder, bounds, tell=tell, clock=clock) if folder is not None else None
        self._known: dict[NodeId, tuple[NodeState, str, int, About | None]] = {}
        self._written_s: dict[str, float] = {}
        self._site = SiteFacts()
        self._rate_bytes_per_s = 0.0
        self._sampled = (steady(), 0)
        self._rates: deque[tuple[float, float]] = deque(maxlen=_HISTORY_MAX)

    def _read_current(self) -> list[Boot]:
        """Return what was current when the last serve ended; nothing, and a line, if that cannot be read."""
        if self.folder is None:
            return []
        try:
            return read_current(self.folder, most=CURRENT_MAX)
        except (OSError, sqlite3.Error) as error:
            self._tell(f"the history cannot be read: {error}")
        return []

    # What is heard.

    def announced(self, announce: Announce, *, host: str) -> None:
        """Occurs when a node has announced itself and was believed."""
        said = (announce.state, host, announce.sequence, announce.about)
        known = self._known.get(announce.node)
        if known is not None and (known[:3] == said[:3] and (announce.about in (None, known[3]))):
            return
        node = announce.node.hex()
        if announce.state is NodeState.LEAVING:
            self._known.pop(announce.node, None)
            if self._ledger.of_node(node) is None:
                return
        else:
            self._known[announce.node] = (*said[:3], announce.about or (known[3] if known else None))
        boot = self._ledger.announced(_heard(announce, node, host), now_s=self._clock())
        told = self._registry.nodes.get(announce.node)
        if told is not None and node in boot.nodes:
            self._progress(boot, told, heard_s=boot.heard_s)

    def reported(self, report: BootReport, *, host: str) -> None:
        """Occurs when a node has reported and was believed."""
        if report.outcome == "failed":
            self._known.pop(_node_id(report.node), None)  # if it announces again that is news
        self._ledger.reported(report, host=host, now_s=self._clock())

    def missed(self, host: str, channel: str) -> None:
        """Occurs when somebody asks for a channel that is not there."""
        self._ledger.missed(host, channel, now_s=self._clock())

    def refused(self, host: str, why: str) -> None:
        """Occurs when a node is turned away, or turns away; `why` is a kind of `seeder.record.policy.causes`."""
        self._ledger.refused(host, why, now_s=self._clock())

    def offered(self, mac: str) -> None:
        """Occurs when a machine is told by DHCP what to boot."""
        self._ledger.offered(mac, now_s=self._clock())

    def turned_away(self, mac: str) -> None:
        """Occurs when DHCP has no address left for a machine."""
        self.addressless.turned_away(mac, now_s=self._steady())

    def given(self, mac: str) -> None:
        """Occurs when a machine gets an address by DHCP."""
        self.addressless.given(mac)

    def asked(self, mac: str, host: str, rack: str) -> None:
        """Occurs when a machine asks what to boot."""
        self._ledger.asked(mac, host=host, rack=rack, now_s=self._clock())

    def shown_menu(self, mac: str, host: str) -> None:
        """Occurs when a machine is shown a menu."""
        self._ledger.shown_menu(mac, host=host)

    def waits(self, mac: str, host: str, ahead: int) -> None:
        """Occurs when a machine is told to wait."""
        self._ledger.waits(mac, host=host, ahead=ahead, now_s=self._clock())

    def granted(self, mac: str, host: str, channel: str) -> None:
        """Occurs when a machine may load the stage 0 of what a channel has."""
        self._ledger.granted(mac, host=host, channel=channel, now_s=self._clock())

    def loaded(self, mac: str, host: str) -> None:
        """Occurs when a machine has loaded stage 0."""
        self._ledger.loaded(mac, host=host, now_s=self._clock())

    def script_refused(self, mac: str, host: str, text: str) -> None:
        """Occurs when there is nothing for a machine to boot."""
        self._ledger.script_refused(mac, host=host, text=text, now_s=self._clock())

    # What is known.

    def find(self, key: str) -> Boot | None:
        """Return a current boot by its MAC address, address, name or id."""
        return self._ledger.find(key)

    def namesakes(self, boot: Boot) -> list[Boot]:
        """Return the current boots of other machines that call themselves as this one does, the latest first."""
        return self._ledger.namesakes(boot)

    def of_node(self, node: str) -> Boot | None:
        """Return the current boot of a node id, in hexadecimal."""
        return self._ledger.of_node(node)

    def view(self) -> Callable[[], View]:
        """Return what makes the view of this moment, in whatever thread: what it is made of does not change."""
        boots, limits_s, now_s = tuple(self._ledger.boots.values()), self._ledger.pace.limits_s(), self._clock()
        offered = releases(self._site, self._catalogue.manifests)
        ends, lost, traffic = self._site.ends, self._writer.lost if self._writer else 0, self._traffic()
        trials = tuple(self._site.canaries.values())
        addressless = self.addressless.machines(self._steady())
        return lambda: build_view(
            boots, limits_s, now_s=now_s, releases=offered, ends=ends, traffic=traffic, lost=lost, trials=trials,
            addressless=addressless,
        )  # fmt: skip

    def without_address(self) -> tuple[int, int]:
        """Return for how many machines DHCP has no address now, and how often it had none in all."""
        return len(self.addressless.machines(self._steady())), self.addressless.times

    def _traffic(self) -> Traffic:
        manifests = self._catalogue.manifests
        artifacts = manifests[max(manifests)].artifacts if manifests else ()
        size_bytes = sum(each.size_bytes for each in artifacts)
        sent_bytes = sum(self.sent_of[each.sha256.hex()] for each in artifacts)
        copies = sent_bytes / size_bytes if size_bytes else 0.0
        rate, history = self._rate_bytes_per_s, tuple(self._rates)
        return Traffic(rate, self.limit_bytes_per_s, copies, self.sent_bytes(), history)

    # What is done once a second.

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the record while the context is open; write what is left at its end."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep_on)
                nursery.start_soon(self._follow_site)
                yield
                nursery.cancel_scope.cancel()
        finally:
            self._ledger.change_all()  # when each was last heard is written seldom
            self.sweep()
            self.close()

    def close(self) -> None:
        """Write what waits to be written; occurs once, at the end."""
        if self._writer is not None:
            self._writer.close()

    async def _sweep_on(self) -> None:
        while True:
            await trio.sleep(SWEEP_S)
            for _ in self._swept():
                await trio.lowlevel.checkpoint()

    async def _follow_site(self) -> None:
        while True:
            manifests = self._catalogue.manifests
            self._site = await trio.to_thread.run_sync(site_facts, self._catalogue.folder, manifests, self.lives)
            await trio.sleep(SITE_S)

    def sweep(self) -> None:
        """Take over from the registry how far its nodes are, and hand what has changed to the writer."""
        deque(self._swept(), maxlen=0)

    def _swept(self) -> Iterator[None]:
        """Sweep; stop after each few nodes, as others are answered then: all of 2,000 take 24 ms."""
        steady_s, now_s = self._steady(), self._clock()
        self._sample(steady_s)
        for number, node in enumerate(tuple(self._registry.nodes.values()), 1):
            if number % _AT_ONCE == 0:
                yield
            if self._registry.nodes.get(node.id) is not node:
                continue  # it has gone meanwhile
            boot = self._ledger.of_node(node.id.hex())
            if boot is None:
                self._known.pop(node.id, None)  # it fell out of what is current, and its next announce is news
            elif (now_s - steady_s + node.seen_s) > boot.heard_s:
                self._progress(boot, node, heard_s=now_s - steady_s + node.seen_s)
        yield
        for node_id in self._known.keys() - self._registry.nodes.keys():
            del self._known[node_id]
        self._ledger.forget_silent(now_s)
        if self._writer is not None:
            if self._writer.take_recovered():
                self._ledger.change_all()
            changed, current = self._ledger.take_changed()
            if changed or self._writer.is_failing:
                self._writer.write(changed, current)
                self._written_s.update(dict.fromkeys(changed, now_s))
            for id_ in self._written_s.keys() - self._ledger.boots.keys():
                del self._written_s[id_]
        else:
            self._ledger.take_changed()

    def _progress(self, boot: Boot, node: Node, *, heard_s: float) -> None:
        torrents = self._registry.torrents
        have_bytes = total_bytes = 0
        if boot.outcome is Outcome.OPEN:
            for info_hash, have in node.have.items():
                torrent = torrents[info_hash].torrent
                total_bytes += torrent.size_bytes
                have_bytes += min(torrent.size_bytes, have.bit_count() * torrent.piece_bytes)
        else:
            have_bytes = boot.have_bytes
        new = facts.progressed(
            boot,
            have_bytes=have_bytes,
            total_bytes=total_bytes,
            bytes_from={"neighbours": node.from_neighbours_bytes, "origin": node.from_origin_bytes},
            is_starving=node.is_starving,
            heard_s=heard_s,
        )
        every_s = _PROGRESS_NEWS_S if have_bytes != boot.have_bytes else _SEED_NEWS_S
        self._ledger.put(new, is_news=heard_s - self._written_s.get(boot.id, 0.0) >= every_s)

    def _sample(self, steady_s: float) -> None:
        """Take the rate at which this server sends, smoothed over a few seconds."""
        last_s, last_bytes = self._sampled
        sent_bytes, passed_s = self.sent_bytes(), steady_s - last_s
        if passed_s > 0:
            share = min(1.0, passed_s / _RATE_S)
            rate = (sent_bytes - last_bytes) / passed_s
            self._rate_bytes_per_s += share * (rate - self._rate_bytes_per_s)
            self._sampled = (steady_s, sent_bytes)
            self._rates.append((self._clock(), self._rate_bytes_per_s))


def _heard(announce: Announce, node: str, host: str) -> Heard:
    about = announce.about or About()
    return Heard(
        node=node, host=host, state=announce.state, rack=announce.rack, sequence=announce.sequence, mac=about.mac,
        boot=about.boot, name=about.name, channel=about.channel, kernel=about.kernel,
    )  # fmt: skip


def _node_id(text: str) -> NodeId:
    try:
        return NodeId(bytes.fromhex(text))
    except ValueError:
        return NodeId(b"")
