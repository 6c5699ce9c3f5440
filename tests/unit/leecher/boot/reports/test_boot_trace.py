"""What a boot has read, as text, and how long it is waited for."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from leecher.boot.reports.boot_trace import BootTrace, mark_as_up
from swarmboot.release.trace import Read, parse_trace
from swarmboot.wire.trace_report import TEXT_MAX_BYTES

SIZES = (10_000, 1 << 40)


def text_of(*touches: str) -> str:
    trace = BootTrace(Path("/nowhere"))
    for words in touches:
        trace.touch(words)
    return trace.text(["rootfs.squashfs", "10-a.squashfs"], SIZES)


def test_reads_stand_in_their_order_and_end_where_the_image_does() -> None:
    text = text_of("0 0 96", "1 4096 512", "0 8192 4096", "0 12288 4096")
    assert text.splitlines()[1:] == ["rootfs.squashfs 0 96", "10-a.squashfs 4096 512", "rootfs.squashfs 8192 1808"]


def test_a_trace_too_long_for_a_seeder_is_cut_at_a_line() -> None:
    text = text_of(*(f"1 {number * 4096} 4096" for number in range(60_000)))
    assert TEXT_MAX_BYTES - 50 < len(text) <= TEXT_MAX_BYTES
    assert parse_trace(text, where="x")["10-a.squashfs"][0] == Read(0, 4096)


def test_a_system_that_comes_up_is_waited_for_and_one_that_never_does_not_for_ever(tmp_path: Path) -> None:
    async def waited(*, is_up: bool) -> float:
        began_s = trio.current_time()
        if is_up:
            (tmp_path / "stage0").mkdir()
            mark_as_up(tmp_path)
        await BootTrace(tmp_path, booted_s=300, settled_s=5).until_up(lambda: None)
        return trio.current_time() - began_s

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert 300 <= trio.run(lambda: waited(is_up=False), clock=clock) <= 306
    clock = trio.testing.MockClock(autojump_threshold=0)
    assert 5 <= trio.run(lambda: waited(is_up=True), clock=clock) < 6
