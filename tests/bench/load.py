"""A rack's announces from one process: kept TLS connections, one request at a time on each, answers timed.

Two ways to ask: as fast as answers come (`closed`), or every connection once an interval whatever happens (`paced`), a
late answer counted from when its request was due. Bounded in requests and in time. It judges no answer beyond its
status.
"""

from __future__ import annotations

import heapq
import json
import os
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from swarmboot.ids import InfoHash, NodeId, Sequence
from swarmboot.release import piece_set
from swarmboot.wire.announce import ANNOUNCE_PATH, WIRE_TYPE, Announce, NodeState, encode_announce
from swarmboot.wire.node_log import LOG_PATH, NodeLines, Said, encode_lines

BOUND_S = 50.0
GROWTH_BYTES = 4 << 20
LINE = "usb 1-1: new high-speed USB device number 2 using xhci_hcd, and so on"
PREPARED_MAX = 200
"""How many requests of a node are written beforehand; the others are written when they are due."""


@dataclass(slots=True)
class Script:
    """What one node says: a third of them are complete, the others gain a few pieces from one announce to the next.

    Every so many requests, where that is not 0, the next one hands in so many lines of its kernel's log.
    """

    number: int
    info_hash: InfoHash
    count: int
    prepared: list[bytes] = field(default_factory=list)
    lines_every: int = 0
    lines: int = 0
    _said: int = 0
    _have: int = 0

    def next(self) -> bytes:
        """Return the node's next request, one that was prepared if there is one."""
        return self.prepared.pop() if self.prepared else self._request()

    def prepare(self, requests: int) -> None:
        """Write that many requests, the next one last."""
        self.prepared = [self._request() for _ in range(requests)][::-1]

    def _request(self) -> bytes:
        """Return the node's next request: an announce, or lines of its log."""
        self._said += 1
        if self._said > 1 and self.lines_every and (self._said + self.number) % self.lines_every == 0:
            said = tuple(Said(f"{LINE} {number}", 6, "kernel", 1.0) for number in range(self.lines))
            return _as_http(LOG_PATH, encode_lines(NodeLines(NodeId(self.number.to_bytes(16, "big")), said)))
        return self._announce()

    def _announce(self) -> bytes:
        is_complete = self.number % 3 == 0
        random = Random(self.number << 20 | self._said)
        self._have |= piece_set.of(random.sample(range(self.count), self.count // 64))
        body = encode_announce(
            Announce(
                node=NodeId(self.number.to_bytes(16, "big")),
                sequence=Sequence(1),
                state=NodeState.COMPLETE if is_complete else NodeState.FETCHING,
                port=6881,
                http_port=8471,
                rack=f"rack{self.number // 40}",
                have={
                    self.info_hash: piece_set.encode(
                        piece_set.all_pieces(self.count) if is_complete else self._have, self.count
                    )
                },
                free_lease_slots=0 if is_complete else 2,
                from_neighbours_bytes=self._said * GROWTH_BYTES,
            )
        )
        return _as_http(ANNOUNCE_PATH, body)


def _as_http(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:8470\r\nContent-Length: {len(body)}\r\n"
        f"content-type: {WIRE_TYPE}\r\naccept-encoding: identity\r\n\r\n"
    )
    return head.encode() + body


@dataclass(slots=True)
class Connection:
    """One node's kept connection."""

    script: Script
    stream: ssl.SSLSocket
    due_s: float = 0.0
    received: bytearray = field(default_factory=bytearray)
    is_asking: bool = False

    def ask(self, due_s: float) -> None:
        """Send the next request, which was due at `due_s`."""
        self.due_s, self.is_asking = due_s, True
        self.stream.send(self.script.next())

    def answered(self) -> int | None:
        """Return the status if the answer is whole by now."""
        try:
            while chunk := self.stream.recv(65536):
                self.received += chunk
        except ssl.SSLWantReadError:
            pass
        else:
            raise ConnectionError("the server closed a kept connection")
        head, _, body = self.received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
        if length is None or len(body) < length:
            return None
        self.received.clear()
        self.is_asking = False
        return int(lines[0].split()[1])


def connect(
    address: tuple[str, int], ca: Path, scripts: Iterable[Script], *, are_hosts: bool = False
) -> list[Connection]:
    """Return a TLS connection for each script, each from a loopback address of its own if they are hosts."""
    context = ssl.create_default_context(cafile=str(ca))
    made = []
    for script in scripts:
        own = (f"127.10.{script.number >> 8}.{script.number & 255}", 0) if are_hosts else None
        plain = socket.create_connection(address, timeout=BOUND_S, source_address=own)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = context.wrap_socket(plain, server_hostname=address[0])
        made.append(Connection(script, stream))
    return made


class Rack:
    """Connections that ask, and how long each answer took."""

    def __init__(self, connections: list[Connection]) -> None:
        self.connections = connections
        self.latencies_s: list[float] = []
        self.refused = 0
        self._selector = selectors.DefaultSelector()
        for connection in connections:
            connection.stream.setblocking(False)
            self._selector.register(connection.stream, selectors.EVENT_READ, connection)

    def _gather(self, wait_s: float, again: Callable[[Connection, float], None]) -> None:
        for key, _ in self._selector.select(max(0.0, wait_s)):
            connection: Connection = key.data
            status = connection.answered()
            if status is None:
                continue
            now_s = time.monotonic()
            self.latencies_s.append(now_s - connection.due_s)
            self.refused += status != 200
            again(connection, now_s)

    def ask_closed(self, requests: int) -> None:
        """Ask `requests` times, on every connection as soon as its last answer is in."""
        left = requests
        end_s = time.monotonic() + BOUND_S

        def again(connection: Connection, now_s: float) -> None:
            nonlocal left
            if left > 0 and connection.script.prepared:
                left -= 1
                connection.ask(now_s)

        for connection in self.connections:
            again(connection, time.monotonic())
        while any(connection.is_asking for connection in self.connections) and time.monotonic() < end_s:
            for _ in range(50):
                self._gather(0.05, again)

    def ask_paced(self, seconds: float, interval_s: float) -> None:
        """Ask once an interval on every connection, at moments spread evenly."""
        start_s = time.monotonic()
        last_s = start_s + seconds
        indices = {id(connection): index for index, connection in enumerate(self.connections)}
        due = [(start_s + index * interval_s / len(indices), index) for index in range(len(indices))]
        late: set[int] = set()

        def again(connection: Connection, _now_s: float) -> None:
            """Ask what has become due while the connection was busy."""
            if (index := indices[id(connection)]) in late:
                late.discard(index)
                connection.ask(connection.due_s + interval_s)

        while (due or any(each.is_asking for each in self.connections)) and time.monotonic() < last_s + BOUND_S:
            while due and due[0][0] <= time.monotonic():
                due_s, index = heapq.heappop(due)
                if self.connections[index].is_asking:
                    late.add(index)
                else:
                    self.connections[index].ask(due_s)
                if due_s + interval_s < last_s:
                    heapq.heappush(due, (due_s + interval_s, index))
            self._gather(due[0][0] - time.monotonic() if due else 0.05, again)


def processor_s(process: int) -> float:
    """Return the processor time a process has used: its own, without its children's (proc(5))."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run one load, described by a JSON object on the command line; print its figures as another."""
    order = json.loads(sys.argv[1])
    info_hash = InfoHash(bytes.fromhex(order["info_hash"]))
    says = {"lines_every": order.get("lines_every", 0), "lines": order.get("lines", 0)}
    scripts = [Script(number, info_hash, order["pieces"], **says) for number in range(order["nodes"])]
    are_hosts = bool(order.get("are_hosts"))
    each = order["requests"] or 2 + int(order["seconds"] / order["interval_s"])
    for script in scripts:
        script.prepare(1 + min(each, PREPARED_MAX))
    rack = Rack(connect((order["host"], order["port"]), Path(order["ca"]), scripts, are_hosts=are_hosts))
    rack.ask_closed(len(scripts))  # everyone joins; not counted
    if are_hosts:
        print("joined", flush=True)
    rack.latencies_s.clear()
    rack.refused = 0
    begun_s, before_s = time.monotonic(), processor_s(order["process"])
    if order["requests"]:
        rack.ask_closed(order["requests"] * len(scripts))
    else:
        rack.ask_paced(order["seconds"], order["interval_s"])
    spent_s, elapsed_s = processor_s(order["process"]) - before_s, time.monotonic() - begun_s
    ranked = sorted(rack.latencies_s)
    print(
        json.dumps(
            {
                "answers": len(ranked),
                "refused": rack.refused,
                "elapsed_s": elapsed_s,
                "processor_s": spent_s,
                "p50_ms": 1e3 * ranked[len(ranked) // 2],
                "p99_ms": 1e3 * ranked[len(ranked) * 99 // 100],
            }
        )
    )


if __name__ == "__main__":
    main()
