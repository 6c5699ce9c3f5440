"""Bodies of requests, and the room that they have together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trio
import trio.testing
from starlette.responses import PlainTextResponse

from seeder.http.request_body import FREE_BYTES, ROOM_BYTES, BodyRoom

MAX = 1 << 20


class Request:
    """A request whose body comes in these pieces; with `gate`, the last one when it is opened."""

    def __init__(self, pieces: Iterable[bytes], gate: trio.Event | None = None) -> None:
        self._pieces = list(pieces)
        self._gate = gate

    async def receive(self) -> Any:
        if len(self._pieces) == 1 and self._gate is not None:
            await self._gate.wait()
        if not self._pieces:
            return {"type": "http.disconnect"}
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}


async def read(room: BodyRoom, *pieces: bytes) -> bytes | int:
    found = await room.read(Request(pieces).receive, MAX)
    return found.status_code if isinstance(found, PlainTextResponse) else found


async def test_a_body_comes_whole_up_to_its_bound() -> None:
    room = BodyRoom()
    assert await read(room, b"ab", b"c", b"") == b"abc"
    assert await read(room, bytes(MAX)) == bytes(MAX)
    assert await read(room, bytes(MAX), b"x") == 413
    assert room.taken_bytes == 0


async def test_large_bodies_have_so_much_room_together_and_small_ones_always_do() -> None:
    room, gate = BodyRoom(), trio.Event()
    found: list[Any] = []

    async def send_large() -> None:
        found.append(await room.read(Request([bytes(MAX - 1), b"x"], gate).receive, MAX))

    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(send_large)
        await trio.testing.wait_all_tasks_blocked()
        assert room.taken_bytes <= ROOM_BYTES
        assert await read(room, bytes(MAX)) == 503
        assert await read(room, bytes(FREE_BYTES)) == bytes(FREE_BYTES)
        gate.set()
    refused = [each for each in found if isinstance(each, PlainTextResponse)]
    assert {each.status_code for each in refused} == {503}
    assert 1 <= len(refused) < 40
    assert room.taken_bytes == 0
