"""Takes in what nodes say, keeps it by boot, and hands it on to Loki if that is configured.

Datagrams are not authenticated: any host on the LAN can send one in another's name, so lines are shown as what they
are, escaped, and nothing is decided by them. An address has so many lines a second, all together four times as many;
what is left out is counted and said. What nodes hand in over HTTPS is bounded likewise, but of that nothing is lost:
they keep what is not taken, and are told when to come again. Lines are written once a second, in a thread, and never
hold up a handout.
"""

from __future__ import annotations

import socket
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

import httpx
import trio

from seeder.log import Level, Log
from seeder.node_log.loki import PUSH_PATH, Heard, push_body
from seeder.node_log.message import DATAGRAM_MAX, Line, parse_netconsole, parse_syslog, posted_line
from seeder.node_log.store import Store, written
from seeder.policy.allowance import Allowance
from swarmboot.text.addresses import connection_address
from swarmboot.wire.node_log import AFTER_MAX_S, Said, Taken

FLUSH_S = 1.0
PENDING_MAX, LOOKUPS_MAX = 20_000, 256
POSTED_MAX = 8000
"""So many lines that are handed in are taken between two writes: some 40 ms of a processor."""

LINES_PER_S, LINES_BURST = 50.0, 4000.0
POSTERS = 100.0
"""So many nodes together may hand in what an address may, at once and a second."""

POSTS_PER_S = 200.0
_LATER_S, _LAST_MAX = 5.0, 16_384
"""So many posts a second are asked for of all nodes together; who could not hand in all is to come later."""

_TELL_EVERY_S = 60.0
_PUSH_S = 10.0


@dataclass(frozen=True, slots=True)
class _Post:
    """Lines that a node at an address has handed in, and when."""

    host: str
    node: str
    lines: tuple[Said, ...]
    at_unix_s: float

    def heard(self, key: str, who: str, last_s: OrderedDict[tuple[str, str], float]) -> Iterator[Heard]:
        """Return its lines as those of the boot `key`, each when it was said, and none before the one before it.

        How long a post took on its way differs from one to the next; `last_s` are the last times of each source.
        """
        for said in self.lines:
            at_s = max(0.0, self.at_unix_s - said.age_s, last_s.get((key, said.source), 0.0))
            last_s[key, said.source] = at_s
            yield Heard(key, who, said.source, posted_line(said), at_s)
        while len(last_s) > _LAST_MAX:
            last_s.popitem(last=False)


@dataclass(slots=True)
class NodeLog:
    """What nodes say. `who` returns the key of a node's boot and its name for people.

    It is asked with an address and, where that is known, a node id in hexadecimal.
    """

    store: Store
    log: Log
    who: Callable[[str, str], tuple[str, str]]
    loki: str = ""
    left_out: int = 0
    _pending: list[Heard] = field(default_factory=list)
    _posts: list[_Post] = field(default_factory=list)
    _posted: int = 0
    _last_s: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)
    _told: int = 0
    _told_s: float = 0.0
    _failures: dict[str, str] = field(default_factory=dict)
    _allowance: Allowance = field(default_factory=lambda: Allowance(per_s=LINES_PER_S, burst=LINES_BURST))
    _posters: Allowance = field(
        default_factory=lambda: Allowance(per_s=LINES_PER_S, burst=LINES_BURST, together=POSTERS)
    )

    def hear(self, host: str, source: str, lines: Iterable[Line], *, now_unix_s: float) -> None:
        """Take in what somebody at `host` has said."""
        for line in lines:
            if len(self._pending) >= PENDING_MAX or not self._allowance.take(host, now_s=time.monotonic()):
                self.left_out += 1
            elif line.text:
                self._pending.append(Heard(host, host, source, line, now_unix_s))

    def post(
        self, lines: tuple[Said, ...], *, host: str, node: str, whose: str, nodes: int, now_unix_s: float
    ) -> Taken:
        """Take in what a node at `host` hands in, as far as there is room and `whose` allowance goes.

        The answer says how much that is, and when to come again, which is later where there are many `nodes`.
        """
        room = min(len(lines), POSTED_MAX - self._posted)
        count = self._posters.take_some(whose, room, now_s=time.monotonic())
        if count:
            self._posts.append(_Post(host, node, lines[:count], now_unix_s))
            self._posted += count
        after_s = max(FLUSH_S, nodes / POSTS_PER_S, _LATER_S if count < len(lines) else 0.0)
        return Taken(count, min(AFTER_MAX_S, after_s))

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
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(httpx.AsyncClient(timeout=_PUSH_S)) if self.loki else None
            while True:
                await trio.sleep(FLUSH_S)
                if self._pending or self._posts:
                    pending = await trio.to_thread.run_sync(self._write, self._take())
                    if client is not None:
                        await self._push(client, pending)
                self._tell_left_out()

    def _take(self) -> Iterator[Heard]:
        """Return what was heard, under the boots of those nodes: of the first LOOKUPS_MAX addresses."""
        pending, self._pending = self._pending, []
        posts, self._posts, self._posted = self._posts, [], 0
        nodes = dict.fromkeys((*((each.key, "") for each in pending), *((each.host, each.node) for each in posts)))
        known = {node: self.who(*node) for node in islice(nodes, LOOKUPS_MAX)}

        def heard() -> Iterator[Heard]:
            for each in pending:
                key, who = known.get((each.key, ""), (each.key, each.who))
                yield replace(each, key=key, who=who)
            for post in posts:
                yield from post.heard(*known.get((post.host, post.node), (post.host, post.host)), self._last_s)

        return heard()

    def _write(self, heard: Iterable[Heard]) -> list[Heard]:
        """Write lines, each to its boot's file; return them."""
        pending = list(heard)
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
        return pending

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
