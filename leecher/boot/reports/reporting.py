"""What a boot tells of itself: a report once the images are there or it has failed, and the booted system's first word.

A report goes to the file that the settings name, and to the seeder if it listens within two seconds: no boot waits for
that. The first word, that the root's own system has come up, is said again until it is heard.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from random import Random

import trio

from leecher.machine.this_boot import read_machine, uptime_s
from leecher.origin.client import Origin
from leecher.origin.threads import in_loose_thread
from leecher.swarm.counters import BootCounters
from swarmboot.backoff import Backoff
from swarmboot.codec import pack
from swarmboot.errors import ProofRefusedError, TransferError
from swarmboot.host.files import write_whole
from swarmboot.settings import NodeSettings
from swarmboot.wire.announce import REPORT_PATH, WIRE_TYPE
from swarmboot.wire.report import BOOTED, BootReport, decode_report, encode_report

_MACHINE_S, _POST_S = 1.0, 2.0
_PAUSE_S, _PAUSE_MAX_S = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class FirstWord:
    """The report of a system that has come up, None if it is said already; `was_heard` is called when it is heard."""

    report: BootReport | None
    was_heard: Callable[[], None] = lambda: None


def word_of_a_booted_system(verified: str) -> BootReport:
    """Return the first word of a system whose initramfs wrote `verified`, a report as JSON; a bare one for other text.

    Its phase `services` is what has passed since then, the switch of roots included.
    """
    try:
        report = decode_report(pack(json.loads(verified)))
    except (ValueError, TypeError, RecursionError):
        return BootReport("", BOOTED)
    passed_s = max(0.0, uptime_s() - report.uptime_s) if report.uptime_s else 0.0
    return replace(report, outcome=BOOTED, phases={**report.phases, "services": passed_s}, error="", exit_status=0)


class Reporter:
    """Reports for one boot. One with a `first_word` says that and nothing else."""

    def __init__(self, settings: NodeSettings, counters: BootCounters, first_word: FirstWord | None = None) -> None:
        self._settings = settings
        self._counters = counters
        self._first_word = first_word
        self._is_heard = False

    async def report(self, origin: Origin, report: BootReport) -> None:
        """Write the report where the settings say and post it to the seeder, if it listens within two seconds."""
        if self._first_word is not None:
            return
        settings = self._settings
        report = await self._of_this_machine(report)
        if settings.report is not None:
            write_whole(settings.report, (report.as_json() + "\n").encode(), mode=0o644, is_flushed=False)
        if settings.server:
            with trio.CancelScope(deadline=trio.current_time() + _POST_S, shield=True), suppress(TransferError):
                await self._post(origin, report)

    async def say_first_word(self, origin: Origin) -> None:
        """Say it, if there is one, until it is heard: a booted system's network may come after its services."""
        word, backoff = self._first_word, Backoff(Random(self._counters.node), first_s=_PAUSE_S, max_s=_PAUSE_MAX_S)
        while word and word.report and self._settings.server and not self._is_heard:
            report = await self._of_this_machine(word.report)
            try:
                await self._post(origin, replace(report, node=self._counters.node.hex(), key=self._counters.key))
            except ProofRefusedError:
                return
            except TransferError:
                await trio.sleep(backoff.next_s())
            else:
                self._is_heard = True
                word.was_heard()

    async def _of_this_machine(self, report: BootReport) -> BootReport:
        """Return the report with what tells this machine.

        Where a name server that is asked is silent, or the machine is busy, all but which of several cards it boots by.
        """
        machine, settings = read_machine(""), self._settings
        with trio.CancelScope(deadline=trio.current_time() + _MACHINE_S, shield=True):
            machine = await in_loose_thread(partial(read_machine, settings.server, settings.bind))
        return replace(report, **asdict(machine))

    async def _post(self, origin: Origin, report: BootReport) -> None:
        address, prover = f"{self._settings.server}{REPORT_PATH}", self._counters.proving.node(self._counters.node)
        body = encode_report(report)
        await origin.post(address, body, media_type=WIRE_TYPE, max_bytes=4096, timeout_s=_POST_S, prover=prover)
