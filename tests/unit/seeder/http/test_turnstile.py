"""In which order new connections shake hands."""

from __future__ import annotations

from itertools import pairwise

import trio
from trio.abc import Instrument
from trio.testing import wait_all_tasks_blocked

from seeder.http.turnstile import Turnstile


class Turns(Instrument):
    """Counts turns of the event loop."""

    count = 0

    def before_io_wait(self, _timeout: float) -> None:
        """Take note of one."""
        self.count += 1


def passing(addresses: list[str], *, turns: int, leaving: frozenset[int] = frozenset()) -> list[tuple[int, int]]:
    """Let connections from those addresses through; return number and turn of each, those that leave cut off first."""
    loop = Turns()
    passed: list[tuple[int, int]] = []

    async def connection(stile: Turnstile, number: int, scope: trio.CancelScope) -> None:
        with scope:
            await stile.enter(addresses[number])
            passed.append((number, loop.count))

    async def main() -> None:
        stile = Turnstile(turns)
        scopes = [trio.CancelScope() for _ in addresses]
        async with trio.open_nursery() as all_of_it:
            async with trio.open_nursery() as nursery:
                for number, scope in enumerate(scopes):
                    nursery.start_soon(connection, stile, number, scope)
                    await wait_all_tasks_blocked()
                for number in leaving:
                    scopes[number].cancel()
                all_of_it.start_soon(stile.run)
            all_of_it.cancel_scope.cancel()

    trio.run(main, instruments=[loop])
    return passed


def test_one_passes_at_a_time_with_turns_of_the_event_loop_between() -> None:
    at = [turn for _, turn in passing(["10.0.0.1"] * 20, turns=8)]
    assert len(at) == 20
    assert all(later - earlier >= 8 for earlier, later in pairwise(at))


def test_addresses_pass_in_rotation() -> None:
    order = [number for number, _ in passing(["10.0.0.1"] * 5 + ["10.0.0.2", "10.0.0.3"], turns=1)]
    assert order == [0, 5, 6, 1, 2, 3, 4]


def test_one_that_was_cut_off_is_passed_over() -> None:
    order = [n for n, _ in passing(["10.0.0.1", "10.0.0.2", "10.0.0.1"], turns=1, leaving=frozenset({0, 1}))]
    assert order == [2]


def test_one_that_comes_later_passes_too() -> None:
    async def main() -> list[str]:
        stile, passed = Turnstile(2), list[str]()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stile.run)
            for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2"):
                await wait_all_tasks_blocked()
                await stile.enter(address)
                passed.append(address)
            nursery.cancel_scope.cancel()
        return passed

    assert trio.run(main) == ["10.0.0.1", "10.0.0.1", "10.0.0.2"]
