"""Listens for what nodes say over UDP, keeps it by boot, and hands it on to Loki if that is configured.

Datagrams are not authenticated: any host on the LAN can send one in another's name, so lines are shown as what they
are, escaped, and nothing is decided by them. An address has so many lines a second, all together four times as many;
what is left out is counted and said. Lines are written once a second, in a thread, and never hold up a handout.
"""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx
import trio

from seeder.log import Level, Log
from seeder.node_log.loki import PUSH_PATH, Heard, push_body
from seeder.node_log.message import DATAGRAM_MAX, Line, parse_netconsole, parse_syslog
from seeder.node_log.store import Store, written
from seeder.policy.allowance import Allowance
from swarmboot.text.addresses import connection_address

FLUSH_S = 1.0
PENDING_MAX, LOOKUPS_MAX = 20_000, 256
LINES_PER_S, LINES_BURST = 50.0, 4000.0
_TELL_EVERY_S = 60.0
_PUSH_S = 10.0


@dataclass(slots=True)
class NodeLog:
    """What nodes say. `who` returns the key of the boot at an address and its name for people."""

    store: Store
    log: Log
    who: Callable[[str], tuple[str, str]]
    loki: str = ""
    left_out: int = 0
    _pending: list[Heard] = field(default_factory=list)
    _told: int = 0
    _told_s: float = 0.0
    _failures: dict[str, str] = field(default_factory=dict)
    _allowance: Allowance = field(default_factory=lambda: Allowance(per_s=LINES_PER_S, burst=LINES_BURST))

    def hear(self, host: str, source: str, lines: Iterable[Line], *, now_unix_s: float) -> None:
        """Take in what somebody at `host` has said."""
        for line in lines:
            if len(self._pending) >= PENDING_MAX or not self._allowance.take(host, now_s=time.monotonic()):
                self.left_out += 1
            elif line.text:
                self._pending.append(Heard(host, host, source, line, now_unix_s))

    @asynccontextmanager
    async def running(self, syslog: socket.socket | None, netconsole: socket.socket | None) -> AsyncIterator[None]:
        """Listen while the context is open, and write what is left at its end."""
        async with trio.open_nursery() as nursery:
            if syslog is not None:
                nursery.start_soon(self._listen, syslog, "syslog", lambda data: (parse_syslog(data),))
            if netconsole is not None:
                nursery.start_soon(self._listen, netconsole, "netconsole", parse_netconsole)
            nursery.start_soon(self._flush_on)
            yield
            nursery.cancel_scope.cancel()
        self._write(self._take())

    async def _listen(self, listener: socket.socket, source: str, parse: Callable[[bytes], tuple[Line, ...]]) -> None:
        with trio.socket.from_stdlib_socket(listener) as heard:
            while True:
                try:
                    data, address = await heard.recvfrom(DATAGRAM_MAX)
                except OSError:  # an ICMP error of an earlier datagram
                    continue
                self.hear(connection_address(address[0]), source, parse(data), now_unix_s=time.time())

    async def _flush_on(self) -> None:
        async with httpx.AsyncClient(timeout=_PUSH_S) as client:
            while True:
                await trio.sleep(FLUSH_S)
                if pending := self._take():
                    await trio.to_thread.run_sync(self._write, pending)
                    if self.loki:
                        await self._push(client, pending)
                self._tell_left_out()

    def _take(self) -> list[Heard]:
        """Return what was heard, under the boots at those addresses: of the first LOOKUPS_MAX addresses."""
        pending, self._pending = self._pending, []
        hosts = list(dict.fromkeys(each.key for each in pending))[:LOOKUPS_MAX]
        known = {host: self.who(host) for host in hosts}
        return [
            replace(each, key=known[each.key][0], who=known[each.key][1]) if each.key in known else each
            for each in pending
        ]

    def _write(self, pending: list[Heard]) -> None:
        by_key: dict[str, list[str]] = {}
        for each in pending:
            line = written(each.line, source=each.source, now_unix_s=each.at_unix_s)
            by_key.setdefault(each.key, []).append(line)
        failure = ""
        for key, lines in by_key.items():
            try:
                self.store.append(key, lines)
            except OSError as error:
                self.left_out += len(lines)
                failure = error.strerror or str(error)
        if failure:
            self._fails("disk", f"what nodes say cannot be written: {failure}")
        elif by_key:
            self._works("disk", "what nodes say is written again")

    async def _push(self, client: httpx.AsyncClient, pending: list[Heard]) -> None:
        headers = {"content-type": "application/json"}
        try:
            answer = await client.post(self.loki + PUSH_PATH, content=push_body(pending), headers=headers)
        except httpx.HTTPError as error:
            self._fails("loki", f"Loki at {self.loki} is not reached: {error or type(error).__name__}")
            return
        if answer.is_success:
            self._works("loki", f"Loki at {self.loki} takes lines again")
        else:
            self._fails("loki", f"Loki at {self.loki} answers {answer.status_code}: {answer.text[:200]}")

    def _fails(self, what: str, text: str) -> None:
        """Say what is wrong with the disk or with Loki, unless it was the last thing said of it."""
        if text != self._failures.get(what):
            self._failures[what] = text
            self.log.tell(text, level=Level.WARNING)

    def _works(self, what: str, text: str) -> None:
        if self._failures.pop(what, ""):
            self.log.tell(text)

    def _tell_left_out(self) -> None:
        if self.left_out > self._told and time.monotonic() - self._told_s >= _TELL_EVERY_S:
            text = f"left out of what nodes say: {self.left_out - self._told} lines, for their number"
            self._told, self._told_s = self.left_out, time.monotonic()
            self.log.tell(text, level=Level.WARNING)
