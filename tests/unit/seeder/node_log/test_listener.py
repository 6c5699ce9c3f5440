"""What is said when the lines of nodes cannot be written, and when they can again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import trio

from seeder.log import Log
from seeder.node_log.listener import NodeLog
from seeder.node_log.message import Line
from seeder.node_log.store import Store


class Disk(Store):
    """A store whose disk is full for the next `full_for` writes."""

    full_for = 3

    def append(self, key: str, lines: Iterable[str]) -> None:
        """Write, or raise what a full disk raises."""
        if self.full_for > 0:
            self.full_for -= 1
            raise OSError(28, "No space left on device")
        super().append(key, lines)


def test_a_full_disk_is_said_once_and_so_is_its_end(tmp_path: Path) -> None:
    written: list[bytes] = []
    log = Log(write=written.append)
    node_log = NodeLog(Disk(tmp_path), log, lambda host: (host, host))

    async def say(number: int) -> None:
        async with node_log.running(None, None):  # what is left is written at the end
            node_log.hear("10.0.0.1", "syslog", (Line(f"line {number}"),), now_unix_s=float(number))

    for number in range(6):
        trio.run(say, number)
    log.close()
    said = b"".join(written).decode()
    assert said.count("what nodes say cannot be written: No space left on device") == 1
    assert said.count("what nodes say is written again") == 1
    assert node_log.left_out == 3
    assert [line.rpartition(" ")[2] for line in node_log.store.read("10.0.0.1")] == ["3", "4", "5"]
