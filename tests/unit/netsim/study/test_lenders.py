"""Who lends stage 0 to booted nodes in the simulator."""

from __future__ import annotations

from random import Random

from netsim.study.lenders import Lenders


def test_lenders_are_taken_as_from_a_list_of_those_with_room_in_the_order_in_which_they_came() -> None:
    random, lenders = Random(1), Lenders(2)
    came: list[int] = []
    lending: dict[int, int] = {}
    borrowed: list[int] = []
    for step in range(3000):
        free = [node for node in came if lending.get(node, 0) < 2]
        assert (lenders.has_room, len(lenders)) == (bool(free), len(came))
        match random.randrange(5):
            case 0 if len(came) < 40:
                lenders.add(step)
                came.append(step)
            case 1 if borrowed:
                lender = borrowed.pop(random.randrange(len(borrowed)))
                lenders.ended(lender)
                lending[lender] -= 1
            case 2 if came and step % 7 == 0:
                gone = came.pop(random.randrange(len(came)))
                lenders.remove(gone)
            case _ if free:
                lender = lenders.lend(step)
                assert lender == free[step % len(free)]
                lending[lender] = lending.get(lender, 0) + 1
                borrowed.append(lender)


def test_what_the_server_has_lent_counts_for_nobody() -> None:
    lenders = Lenders(1)
    lenders.ended(500)
    lenders.add(3)
    lenders.remove(500)
    assert lenders.lend(0) == 3
    assert not lenders.has_room
