"""The boots that are current, and which of them each fact belongs to. Pure state: facts go in with their time.

A machine is known by its MAC address where that was heard, a boot by the kernel's id of it, a program by its node id.
What is current is bounded; what falls out stays in the store. `take_changed` says what has changed since it was asked.

A new boot takes the place of its machine's last one once that is silent or was at the same address: two programs of one
host that speak at once, or somebody who asks with another's MAC address, are another row and end nobody's.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace

from seeder.record.policy import facts
from seeder.record.policy.boot import Boot, Fault, Outcome, Span, with_fault, with_first
from seeder.record.policy.facts import Heard
from seeder.record.policy.pace import FLOOR_S, Pace
from swarmboot.wire.announce import NodeState
from swarmboot.wire.report import BOOTED, BootReport

CURRENT_MAX = 10_000
BARE_MAX = 2_000
"""So many boots are current, and so many of those of which nothing but a request was heard."""

LIVE_S = 60.0
"""A boot that was heard within this time is live: another does not take its place from another address."""

ANEW_S = 10.0
"""What DHCP tells a machine that is known for so long, and is past that, begins another boot: it was reset."""

RETRY_S = 900.0
"""A program at a boot's address, of which nobody knows the kernel, is the same boot's within this time of a failure."""

KEPT_S = 86_400.0
"""A boot that was not heard for so long is no longer current."""


class Ledger:
    """The current boots by their id, the least recently heard first."""

    def __init__(
        self,
        boots: Iterable[Boot] = (),
        *,
        floor_s: float = FLOOR_S,
        current_max: int = CURRENT_MAX,
        bare_max: int = BARE_MAX,
    ) -> None:
        self.boots: OrderedDict[str, Boot] = OrderedDict()
        self.pace = Pace(floor_s)
        self._current_max, self._bare_max = current_max, bare_max
        self._bare: OrderedDict[str, None] = OrderedDict()
        self._by_node: dict[str, str] = {}
        self._by_mac: dict[str, str] = {}
        self._by_host: dict[str, str] = {}
        self._changed: dict[str, Boot | None] = {}
        self._drawn = 0
        for boot in sorted(boots, key=lambda boot: boot.heard_s):
            self._put(boot)
            self.pace.learn({}, boot.phases)
        self._changed.clear()

    def take_changed(self) -> tuple[dict[str, Boot | None], frozenset[str]]:
        """Return what has changed since the last call, None for what was merged into another, and which are current."""
        changed, self._changed = self._changed, {}
        return changed, frozenset(id_ for id_ in changed if id_ in self.boots)

    def change_all(self) -> None:
        """Take everything current for changed: what was to be written has been lost."""
        self._changed = {**dict(self.boots), **self._changed}

    def find(self, key: str) -> Boot | None:
        """Return the current boot of a MAC address, an address, a host's name, or the beginning of an id."""
        wanted = (
            key.strip().lower().replace("-", ":") if key.count("-") == 5 and len(key) == 17 else key.strip().lower()
        )
        if not wanted:  # which is what a boot without a name has for one
            return None
        for index in (self._by_mac, self._by_host, self._by_node):
            if wanted in index:
                return self.boots[index[wanted]]
        for boot in reversed(self.boots.values()):
            ids = (boot.id, boot.boot, *boot.nodes)
            if wanted in (boot.name.lower(), *boot.addresses) or (
                len(wanted) >= 6 and any(each.startswith(wanted) for each in ids)
            ):
                return boot
        return None

    def namesakes(self, boot: Boot) -> list[Boot]:
        """Return the current boots of other machines that call themselves as this one does, the latest first."""
        name = boot.name.lower()
        return [each for each in reversed(self.boots.values()) if name == each.name.lower() and _is_other(each, boot)]

    def offered(self, mac: str, *, now_s: float) -> Boot:
        """Occurs when a machine's firmware, or what that has loaded, is told by DHCP what to boot."""
        boot = self.boots.get(self._by_mac.get(mac, ""))
        if boot is not None and boot.phase != "dhcp":
            if not boot.has_spoken and now_s - boot.began_s < ANEW_S:
                return boot
            boot = None
        return self._put(facts.offered(boot or self._begin(mac, now_s, mac=mac), now_s=now_s))

    def asked(self, mac: str, *, host: str, rack: str, now_s: float) -> Boot:
        """Occurs when a machine without a system asks for its script: in a boot that has not begun to load, or anew."""
        boot = self._of_mac(mac, host)
        if boot is None or boot.phase not in ("dhcp", "queue") or boot.has_spoken:
            if (
                boot is None
                and (stranger := self._at(host)) is not None
                and not stranger.mac
                and not stranger.has_spoken
            ):
                boot = replace(stranger, mac=mac)
            else:
                boot = self._begin(mac or host, now_s, mac=mac)
        return self._put(facts.asked(boot, host=host, rack=rack, now_s=now_s))

    def shown_menu(self, mac: str, *, host: str) -> None:
        """Occurs when a machine is shown what it may boot: until it has chosen to load something, it boots nothing."""
        boot = self._of_mac(mac, host)
        if boot is not None and boot.phase in ("dhcp", "queue") and not boot.has_spoken:
            self._drop(boot)
            self._changed[boot.id] = None

    def waits(self, mac: str, *, host: str, ahead: int, now_s: float) -> None:
        """Occurs when a machine is told how many are served before it."""
        self._change_bare(mac, host, lambda boot: replace(boot, ahead=ahead, heard_s=now_s))

    def granted(self, mac: str, *, host: str, channel: str = "", now_s: float) -> None:
        """Occurs when a machine may load what a channel has."""
        self._change_bare(mac, host, lambda boot: facts.granted(boot, channel=channel, now_s=now_s))

    def loaded(self, mac: str, *, host: str, now_s: float) -> None:
        """Occurs when a machine has all that it loads from this server."""
        self._change_bare(mac, host, lambda boot: facts.loaded(boot, now_s=now_s))

    def script_refused(self, mac: str, *, host: str, text: str, now_s: float) -> None:
        """Occurs when a machine is told that there is nothing for it to boot."""
        boot = self.asked(mac, host=host, rack="", now_s=now_s)
        self._put(replace(boot, faults=with_fault(boot.faults, Fault(now_s, text))))

    def missed(self, host: str, channel: str, *, now_s: float) -> None:
        """Occurs when somebody asks for a channel that this site does not have."""
        boot = self._unheard(host, now_s)
        self._put(facts.missed(boot, channel, now_s=now_s))

    def refused(self, host: str, why: str, *, now_s: float) -> None:
        """Occurs when this server does not listen to somebody, or somebody not to this server; `why` names the kind."""
        boot = self._unheard(host, now_s)
        if boot.refused != why or now_s - boot.heard_s > 1.0:
            self._put(replace(boot, refused=why, heard_s=now_s))

    def announced(self, heard: Heard, *, now_s: float) -> Boot:
        """Occurs when a node announces itself for the first time, or says something new of itself."""
        is_try = heard.state is NodeState.FETCHING
        boot = self._of_program(heard.node, heard.host, heard.mac, heard.boot, is_try=is_try, now_s=now_s)
        boot = boot or self._begin(heard.node, now_s, mac=heard.mac)
        if is_try and _is_booted_without(boot, heard.node):
            return boot
        return self._put(facts.announced(boot, heard, now_s=now_s))

    def reported(self, report: BootReport, *, host: str, now_s: float) -> Boot:
        """Occurs when a node reports."""
        is_try = report.outcome != BOOTED
        boot = self._of_program(report.node, host, report.mac, report.boot, is_try=is_try, now_s=now_s)
        boot = boot or self._begin(report.node, now_s, mac=report.mac)
        if is_try and _is_booted_without(boot, report.node):
            return self._put(facts.failed_beside(boot, report, now_s=now_s))
        return self._put(facts.reported(boot, report, host=host, now_s=now_s))

    def of_node(self, node: str) -> Boot | None:
        """Return the current boot of a node id."""
        return self.boots.get(self._by_node.get(node, ""))

    def put(self, boot: Boot, *, is_news: bool = True) -> None:
        """Take a boot's new value; without news it is not written for that."""
        if is_news:
            self._put(boot)
        elif boot.id in self.boots:
            self.boots[boot.id] = boot

    def forget_silent(self, now_s: float) -> None:
        """Drop what was not heard for KEPT_S."""
        for boot in list(self.boots.values()):
            if boot.heard_s >= now_s - KEPT_S:
                break
            self._drop(boot)

    def _begin(self, seed: str, now_s: float, *, mac: str = "") -> Boot:
        self._drawn += 1
        digest = hashlib.sha256(f"{seed} {now_s!r} {self._drawn}".encode()).hexdigest()
        return Boot(id=digest[:12], began_s=now_s, heard_s=now_s, mac=mac)

    def _put(self, boot: Boot) -> Boot:
        before = self.boots.get(boot.id)
        for index, names in (
            (self._by_node, boot.nodes),
            (self._by_mac, (boot.mac,)),
            (self._by_host, (boot.address,)),
        ):
            for name in filter(None, names):
                last = index.get(name)
                index[name] = boot.id
                if last is not None and last != boot.id:
                    boot = self._supersede(self.boots[last], boot)
        self.pace.learn(before.phases if before else {}, boot.phases)
        self.boots[boot.id] = boot
        self.boots.move_to_end(boot.id)
        self._changed[boot.id] = boot
        self._note_bare(boot)
        if len(self.boots) > self._current_max:
            self._drop(next(iter(self.boots.values())))
        return boot

    def _note_bare(self, boot: Boot) -> None:
        """Count boots of which nothing but a request was heard: anybody can make up such ones."""
        if boot.has_spoken:
            self._bare.pop(boot.id, None)
            return
        self._bare[boot.id] = None
        self._bare.move_to_end(boot.id)
        if len(self._bare) > self._bare_max:
            self._drop(self.boots[next(iter(self._bare))])

    def _supersede(self, old: Boot, new: Boot) -> Boot:
        """Let a boot take the place of another of its machine; return it, with what was known if it is the same."""
        if old.id not in self.boots or not self._may_take(old, new):
            return new
        if not old.has_spoken and new.has_spoken and (old.mac in ("", new.mac)):
            new = _merged(old, new)
            self._drop(old)
            self._changed[old.id] = None
        else:
            self._drop(old)
        return new

    def _may_take(self, old: Boot, new: Boot) -> bool:
        is_live = (
            new.heard_s - old.heard_s < LIVE_S and old.has_spoken and old.outcome not in (Outcome.LEFT, Outcome.FAILED)
        )
        is_same_machine = bool(old.mac) and old.mac == new.mac
        is_same_kernel = bool(old.boot) and old.boot == new.boot
        if old.address == new.address:
            return is_same_machine or not (old.mac and new.mac)
        return is_same_machine and not is_live and not (is_same_kernel and old.outcome is Outcome.FAILED)

    def _drop(self, boot: Boot) -> None:
        self.boots.pop(boot.id, None)
        self._bare.pop(boot.id, None)
        self._changed.setdefault(boot.id, boot)
        for index, names in (
            (self._by_node, boot.nodes),
            (self._by_mac, (boot.mac,)),
            (self._by_host, (boot.address,)),
        ):
            for name in names:
                if index.get(name) == boot.id:
                    del index[name]

    def _of_mac(self, mac: str, host: str) -> Boot | None:
        boot = self.boots.get(self._by_mac.get(mac, ""))
        return boot if boot is not None and boot.address in (host, "") else None

    def _at(self, host: str) -> Boot | None:
        return self.boots.get(self._by_host.get(host, ""))

    def _unheard(self, host: str, now_s: float) -> Boot:
        """Return the boot at an address that has said nothing yet, a new one if there is none."""
        boot = self._at(host)
        is_silent = boot is not None and boot.outcome is Outcome.UP and now_s - boot.heard_s > LIVE_S
        if boot is None or boot.outcome is Outcome.LEFT or is_silent:
            return replace(self._begin(host, now_s), addresses=(host,))
        return boot

    def _of_program(self, node: str, host: str, mac: str, boot_id: str, *, is_try: bool, now_s: float) -> Boot | None:
        """Return the boot that a program belongs to: the one that it spoke for, its kernel's, or what waits for it.

        `is_try` says that it fetches, and is not what speaks for a system that has booted.
        """
        known = self.of_node(node)
        if known is not None:
            return known if not (known.boot and boot_id) or known.boot == boot_id else None
        of_mac = self.boots.get(self._by_mac.get(mac, "")) if mac else None
        if of_mac is not None and self._is_its_next(of_mac, host, boot_id, is_try=is_try, now_s=now_s):
            return of_mac
        at = self._at(host)
        if at is None or (mac and at.mac and mac != at.mac):
            return None
        return at if self._is_its_next(at, host, boot_id, is_try=is_try, now_s=now_s) else None

    def _is_its_next(self, boot: Boot, host: str, boot_id: str, *, is_try: bool, now_s: float) -> bool:
        """Return whether a program that is new at `host` can be the next one of this boot."""
        if not boot.has_spoken:
            return True
        if is_try and boot.is_fetched:
            return False
        if boot.boot and boot_id:
            is_silent = now_s - boot.heard_s >= LIVE_S and boot.outcome is not Outcome.FAILED
            is_over = is_silent or boot.outcome in (Outcome.LEFT, Outcome.VERIFIED)
            return boot.boot == boot_id and (boot.address == host or is_over)
        is_waited_for = boot.outcome in (Outcome.FAILED, Outcome.VERIFIED) and now_s - boot.heard_s < RETRY_S
        return is_waited_for and boot.address == host

    def _change_bare(self, mac: str, host: str, change: Callable[[Boot], Boot]) -> None:
        boot = self._of_mac(mac, host)
        if boot is not None and not boot.has_spoken:
            self._put(change(boot))


def _is_other(boot: Boot, known: Boot) -> bool:
    return bool(boot.name) and boot.machine != known.machine


def _is_booted_without(boot: Boot, node: str) -> bool:
    """Return whether a boot's system is up and this program is none of those that brought it there."""
    return boot.outcome is Outcome.UP and boot.hands_off and node not in boot.nodes


def _merged(bare: Boot, new: Boot) -> Boot:
    """Return a boot with what was heard of it before its node spoke."""
    phases: dict[str, Span] = dict(new.phases)
    start_s = min((begun for begun, _ in new.phases.values()), default=new.began_s)
    for name, (begun, end) in bare.phases.items():
        if name not in new.phases and begun <= start_s:
            phases[name] = (begun, start_s if end is None else end)
    return replace(
        new,
        began_s=min(bare.began_s, new.began_s),
        mac=new.mac or bare.mac,
        rack=new.rack or bare.rack,
        channel=new.channel or bare.channel,
        addresses=with_first((*bare.addresses,), new.address) if new.address else bare.addresses,
        phases=phases,
        faults=(*bare.faults, *new.faults),
    )
