"""A rack whose nodes read while their images arrive, on simulated time: early, and still each byte once."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.racks.lazy_rack import LazyRack
from tests.support.racks.paper_rack import PIECE_BYTES

PIECES = 384
TRACE = Random(7).sample(range(PIECES), PIECES * 7 // 100)


def run(count: int, *, is_known: bool) -> LazyRack:
    rack = LazyRack(count, trace=TRACE, is_known=is_known, pieces_count=PIECES)
    rack.run()
    return rack


def ready_s(rack: LazyRack) -> float:
    """Return when the last node had read its trace."""
    return max(reader.ready_s if reader.ready_s is not None else float("inf") for reader in rack.readers.values())


@pytest.mark.parametrize("count", [1, 16])
def test_what_a_boot_reads_is_everywhere_soon_after_the_server_has_sent_it_once(count: int) -> None:
    rack = run(count, is_known=True)
    sent = sum(rack.sent[index] for index in TRACE)
    assert sent == len(TRACE)
    assert ready_s(rack) < 1.5 * len(TRACE) * PIECE_BYTES / rack.uplink + 0.3
    assert sum(rack.sent.values()) == rack.count


@pytest.mark.parametrize("count", [1, 16])
def test_what_nobody_knew_beforehand_leaves_the_server_once_though_all_wait_for_it(count: int) -> None:
    rack = run(count, is_known=False)
    assert sum(rack.sent.values()) <= 1.02 * rack.count
    assert all(reader.ready_s is not None for reader in rack.readers.values())


def test_reads_go_on_when_the_seeder_stops_answering() -> None:
    rack = LazyRack(3, trace=TRACE, is_known=False, pieces_count=PIECES)

    def stop() -> None:
        rack.is_seeder_up = False

    rack.at(0.3, stop)
    rack.run(until_s=60)
    assert max(reader.longest_s for reader in rack.readers.values()) < 6.0
