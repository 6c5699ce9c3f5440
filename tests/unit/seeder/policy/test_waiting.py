"""Who is looked at in the waiting room, and when again."""

from __future__ import annotations

from seeder.policy.waiting import Waiting, WaitingRoom
from swarmboot.ids import NodeId

RANK = 1


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(16, "big"))


def room_of(count: int) -> WaitingRoom:
    room = WaitingRoom()
    for number in range(count):
        room.add(node(number), Waiting(number, 2, until_s=1.0 + number / 1000, neighbours=()), rank=RANK)
    return room


def looked_at(room: WaitingRoom, *, freed: int, now_s: float = 0.0, most: int = 10_000) -> list[int]:
    """Look at up to `most` requests, find nothing for those that are not due, and return their tickets."""
    tickets: list[int] = []
    for node_id, waiting in room.in_turn(RANK, freed=freed, now_s=now_s):
        if len(tickets) == most:
            break
        assert isinstance(waiting.ticket, int)
        tickets.append(waiting.ticket)
        if waiting.until_s <= now_s:
            room.pop(node_id)
        else:
            room.pass_over(node_id, rank=RANK, looked_at=freed)
    return tickets


def test_whom_there_was_nothing_for_is_not_looked_at_again_until_something_is_freed() -> None:
    room = room_of(2500)
    assert looked_at(room, freed=0) == list(range(2500))
    room.add(node(9999), Waiting(9999, 2, until_s=9.0, neighbours=()), rank=RANK)
    assert looked_at(room, freed=0) == [9999]
    assert looked_at(room, freed=0) == []


def test_once_something_is_freed_all_are_in_turn_again_as_they_came() -> None:
    room = room_of(6)
    assert looked_at(room, freed=0, most=4) == [0, 1, 2, 3]
    assert looked_at(room, freed=1) == [0, 1, 2, 3, 4, 5]


def test_who_was_passed_over_and_must_be_answered_comes_before_those_who_came_later() -> None:
    room = room_of(4)
    assert looked_at(room, freed=0, most=3) == [0, 1, 2]
    assert looked_at(room, freed=0, now_s=1.0015) == [0, 1, 3]
    assert room.due_s() == 1.002


def test_a_request_is_found_by_its_ticket_wherever_it_stands_and_leaves_for_good() -> None:
    room = room_of(3)
    looked_at(room, freed=0, most=2)
    for ticket in (1, 2):
        assert room.of_ticket(ticket) == [node(ticket)]
        room.pop(node(ticket))
        assert node(ticket) not in room
    assert looked_at(room, freed=1) == [0]
