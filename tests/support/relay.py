"""What stands between a seeder and its nodes, and is slower than a loopback."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from tests.support.loopback import Seeder

_CHUNK_BYTES = 1 << 14


@dataclass(slots=True)
class Pace:
    """How much a relay lets through, in all: what a test waits for has its time, and what comes after is not slow."""

    bytes_per_s: float

    def end(self) -> None:
        """Let everything through from now on."""
        self.bytes_per_s = math.inf


@contextmanager
def throttled(seeder: Seeder, pace: float | Pace, *, most_bytes: float = math.inf) -> Iterator[Seeder]:
    """Yield the seeder behind a relay that lets so much through in all, in bytes per second, from it to its nodes.

    Once it has let `most_bytes` through, each connection stands still.
    """
    kept = pace if isinstance(pace, Pace) else Pace(pace)
    host, _, port = seeder.address.removeprefix("https://").rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    turn, free_s, carried, ends = threading.Lock(), [time.monotonic()], [0], [listener]
    is_over = threading.Event()

    def carry(source: socket.socket, target: socket.socket, *, is_paced: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                if is_paced:
                    with turn:
                        free_s[0] = max(free_s[0], time.monotonic()) + len(data) / kept.bytes_per_s
                        due_s = free_s[0]
                        carried[0] += len(data)
                        is_spent = carried[0] > most_bytes
                    is_over.wait(None if is_spent else max(0.0, due_s - time.monotonic()))
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                ends.append(near)
                try:
                    far = socket.create_connection((host, int(port)))
                except OSError:  # the seeder is gone
                    near.close()
                    continue
                ends.append(far)
                threading.Thread(target=carry, args=(near, far), kwargs={"is_paced": False}, daemon=True).start()
                threading.Thread(target=carry, args=(far, near), kwargs={"is_paced": True}, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield replace(seeder, address=f"https://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        is_over.set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
