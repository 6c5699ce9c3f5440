"""The seeder's pacing and whom it sends to next, on a simulated clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import pytest
import trio
from trio.testing import MockClock

from seeder.http.pacer import CATCH_UP_S, HEADROOM, Pacer, Queue

RATE = 100_000.0
CHUNK_BYTES = 500
FOR_S = 20.0


def run(main: Callable[[], object]) -> None:
    """Run an asynchronous function on a clock that jumps to whatever is waited for."""
    trio.run(main, clock=MockClock(autojump_threshold=0))  # type: ignore[arg-type]


def sent(
    responses: Mapping[str, int], nodes: Mapping[str, int] | None = None, more: Mapping[str, float] | None = None
) -> Counter[str]:
    """Return how many bytes each address gets in FOR_S, with so many endless responses and proved nodes each.

    `more` is what each of an address's responses weighs beside the one that they all do.
    """
    got: Counter[str] = Counter()

    async def respond(pacer: Pacer, host: str) -> None:
        weighs_more = (more or {}).get(host, 0.0)
        share = pacer.enter(host, more=weighs_more)
        try:
            while True:
                await pacer.take(share, CHUNK_BYTES)
                got[host] += CHUNK_BYTES
                await trio.lowlevel.checkpoint()
        finally:
            pacer.leave(share, more=weighs_more)

    async def main() -> None:
        pacer = Pacer(RATE, nodes_at=lambda address: (nodes or {}).get(address, 0))
        with trio.move_on_after(FOR_S):
            async with trio.open_nursery() as nursery:
                for host, count in responses.items():
                    for _ in range(count):
                        nursery.start_soon(respond, pacer, host)

    run(main)
    return got


@pytest.mark.parametrize("responses", [{"10.0.0.7": 1}, {"10.0.0.7": 500}, {"10.0.0.7": 2, "10.0.0.8": 1}])
def test_a_busy_uplink_lets_bytes_go_at_its_rate_and_not_faster(responses: dict[str, int]) -> None:
    assert sum(sent(responses).values()) == pytest.approx(RATE * (FOR_S + CATCH_UP_S), rel=0.01)


def test_five_hundred_downloads_of_one_host_are_two_shares() -> None:
    got = sent({"10.0.0.66": 500, "10.0.0.7": 2, "10.0.0.8": 1})
    assert got["10.0.0.7"] == pytest.approx(RATE * FOR_S * 2 / 5, rel=0.05)
    assert got["10.0.0.8"] == pytest.approx(RATE * FOR_S / 5, rel=0.05)


def test_a_rack_of_nodes_with_an_address_each_shares_by_response_as_ever() -> None:
    got = sent({"10.0.0.7": 2, "10.0.0.8": 1, "10.0.0.9": 2})
    assert got["10.0.0.8"] == pytest.approx(RATE * FOR_S / 5, rel=0.05)
    assert got["10.0.0.9"] == pytest.approx(RATE * FOR_S * 2 / 5, rel=0.05)


def test_a_rack_behind_one_address_has_the_shares_of_its_nodes_that_have_fetched_leases() -> None:
    responses = {"10.0.0.1": 20, "10.0.0.7": 2}
    got = sent(responses, {"10.0.0.1": 10, "10.0.0.7": 1})
    assert got["10.0.0.1"] == pytest.approx(RATE * FOR_S * 20 / 22, rel=0.05)
    got = sent(responses, {"10.0.0.1": 500})
    assert got["10.0.0.1"] == pytest.approx(RATE * FOR_S * 20 / 22, rel=0.05), "more nodes than responses"


def test_a_response_that_others_wait_for_weighs_more_and_leaves_the_link_room_for_that_to_hold() -> None:
    got = sent({"10.0.0.7": 1, "10.0.0.8": 2, "10.0.0.9": 2}, more={"10.0.0.7": 7.0})
    assert got["10.0.0.7"] == pytest.approx(HEADROOM * RATE * FOR_S * 8 / 12, rel=0.05)
    assert got["10.0.0.8"] == pytest.approx(HEADROOM * RATE * FOR_S * 2 / 12, rel=0.05)
    assert sum(got.values()) == pytest.approx(HEADROOM * RATE * FOR_S, rel=0.01)


def test_what_others_wait_for_has_the_whole_link_where_nothing_else_goes_out() -> None:
    assert sum(sent({"10.0.0.7": 1}, more={"10.0.0.7": 7.0}).values()) == pytest.approx(RATE * FOR_S, rel=0.03)


def test_many_responses_that_others_wait_for_weigh_of_one_address_as_one_does() -> None:
    got = sent({"10.0.0.66": 100, "10.0.0.8": 2}, more={"10.0.0.66": 7.0})
    assert got["10.0.0.8"] == pytest.approx(HEADROOM * RATE * FOR_S * 2 / 11, rel=0.05)


def test_an_address_weighs_no_more_once_what_others_waited_for_has_gone() -> None:
    queue = Queue()
    share = queue.enter("10.0.0.7")
    for more in (7.0, 31.0, 7.0):
        queue.enter("10.0.0.7", more=more)
    for more in (31.0, 7.0, 7.0):
        queue.leave(share, more=more)
    queue.put(share, CHUNK_BYTES)
    assert share.ends == CHUNK_BYTES


def test_addresses_of_one_ipv6_network_are_one_host() -> None:
    got = sent({**{f"fd00::{number}": 1 for number in range(1, 41)}, "fd00:0:0:1::7": 2})
    assert got["fd00:0:0:1::7"] == pytest.approx(RATE * FOR_S / 2, rel=0.05)


def test_responses_of_one_address_take_turns() -> None:
    order: list[int] = []

    async def main() -> None:
        pacer = Pacer(RATE)
        share = pacer.enter("10.0.0.7")
        await pacer.take(share, 50_000)

        async def respond(number: int) -> None:
            await trio.sleep(number / 1000)
            for _ in range(3):
                await pacer.take(share, CHUNK_BYTES)
                order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(respond, number)

    run(main)
    assert order == [0, 1, 2, 3] * 3


def test_an_idle_uplink_gives_a_quarter_of_a_second_at_most() -> None:
    async def main() -> None:
        pacer = Pacer(RATE)
        share = pacer.enter("10.0.0.7")
        await pacer.take(share, 1)
        await trio.sleep(1000)
        began_s, at_once = trio.current_time(), 0
        while trio.current_time() == began_s:
            await pacer.take(share, 10)
            at_once += 10
        assert at_once <= CATCH_UP_S * RATE + 30

    run(main)


def test_a_response_that_hangs_up_while_it_waits_costs_nobody_anything() -> None:
    async def main() -> None:
        pacer = Pacer(RATE)
        first, other = pacer.enter("10.0.0.7"), pacer.enter("10.0.0.8")
        await pacer.take(first, 50_000)  # half a second
        async with trio.open_nursery() as nursery:
            for share in (first, other) * 20:
                nursery.start_soon(pacer.take, share, 50_000)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        began_s = trio.current_time()
        await pacer.take(other, CHUNK_BYTES)
        assert trio.current_time() - began_s == pytest.approx(0.5 - CATCH_UP_S)

    run(main)


def test_addresses_are_forgotten_when_they_are_no_longer_served() -> None:
    async def main() -> None:
        pacer = Pacer(1e12)
        for number in range(10_000):
            share = pacer.enter(f"10.0.{number >> 8}.{number & 255}")
            await pacer.take(share, CHUNK_BYTES)
            pacer.leave(share)
        assert len(pacer._queue._shares) <= 4096  # nobody else counts them

    run(main)
