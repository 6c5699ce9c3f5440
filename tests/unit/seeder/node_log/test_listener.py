"""Lines of nodes are taken in within bounds, and what is said when they cannot be written, and when they can again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import trio

from seeder.log import Log
from seeder.node_log.listener import LINES_BURST, POSTED_MAX, NodeLog
from seeder.node_log.message import Line
from seeder.node_log.store import Store
from swarmboot.wire.node_log import Said


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
    node_log = NodeLog(Disk(tmp_path), log, lambda host, _node: (host, host))

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


def handed_in(log: NodeLog, texts: Iterable[str], *, whose: str = "n", age_s: float = 0.0, nodes: int = 1) -> int:
    lines = tuple(Said(text, 6, "kernel", age_s) for text in texts)
    return log.post(lines, host="10.0.0.1", node="n", whose=whose, nodes=nodes, now_unix_s=1_790_000_000.0).lines


def written_by(log: NodeLog) -> None:
    async def once() -> None:
        async with log.running(None, None):
            pass

    trio.run(once)


def test_what_is_not_taken_is_the_nodes_to_keep_and_bring_again(tmp_path: Path) -> None:
    log = NodeLog(Store(tmp_path), Log(), lambda _host, node: (node, node))
    many = [f"line {number}" for number in range(500)]
    assert sum(handed_in(log, many) for _ in range(20)) <= LINES_BURST + 50
    assert sum(handed_in(log, many, whose=str(number)) for number in range(40)) <= POSTED_MAX - LINES_BURST
    assert handed_in(log, many, whose="another") == 0
    assert log.left_out == 0
    written_by(log)
    assert handed_in(log, many, whose="another") == 500


def test_many_nodes_are_asked_to_come_less_often() -> None:
    log = NodeLog(Store(Path("/none")), Log(), lambda _host, node: (node, node))

    def after_s(nodes: int) -> float:
        return log.post((), host="h", node="n", whose="w", nodes=nodes, now_unix_s=0.0).after_s

    assert (after_s(40), after_s(2000), after_s(10**9)) == (1.0, 10.0, 600.0)


def test_lines_stand_at_the_time_they_were_said_and_in_the_order_they_were_handed_in(tmp_path: Path) -> None:
    log = NodeLog(Store(tmp_path), Log(), lambda _host, node: (node, node))
    handed_in(log, ["b first", "a second"], age_s=10.0)
    handed_in(log, ["came faster"], age_s=10.4)  # as if it had been said before those
    handed_in(log, ["\x1b[2J\n"], age_s=1.0)
    written_by(log)
    assert log.store.read("n") == [
        "2026-09-21T14:13:10.000Z kernel info b first",
        "2026-09-21T14:13:10.000Z kernel info a second",
        "2026-09-21T14:13:10.000Z kernel info came faster",
        "2026-09-21T14:13:19.000Z kernel info \\x1b[2J",
    ]
