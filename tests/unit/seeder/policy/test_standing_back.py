"""A server lets nobody in while neighbours take many machines for each one of its own, and goes on when they do not."""

from __future__ import annotations

from seeder.policy.admission import Admission, AdmissionLimits
from seeder.policy.standing_back import FOR_ONE

LIMITS = AdmissionLimits(uplink_bytes_per_s=100.0, load_bytes=100, neighbour_slots=1)


def queue_beside(neighbours: int) -> Admission:
    """Return an admission with a server that sends a load in a second, so many neighbours, and many who wait."""
    admission = Admission(LIMITS)
    admission.offer("server", is_server=True)
    for number in range(neighbours):
        admission.offer(number, loads_sent=0)
    for number in range(100):
        admission.ask(f"machine {number}", now_s=0.0)
    return admission


def sources(admission: Admission, now_s: float) -> list[object]:
    return [turn.source for turn in admission.admit(now_s=now_s)]


def test_a_server_leaves_machines_to_neighbours_that_take_eight_in_the_time_of_one() -> None:
    assert "server" not in sources(queue_beside(FOR_ONE), 0.0)


def test_beside_fewer_it_lets_machines_in() -> None:
    assert "server" in sources(queue_beside(FOR_ONE - 1), 0.0)


def test_it_goes_on_within_the_time_of_a_load_when_neighbours_take_no_more() -> None:
    admission = queue_beside(FOR_ONE)
    sources(admission, 0.0)
    assert admission.next_s(now_s=0.0) == 1.0
    assert sources(admission, 0.99) == []
    assert sources(admission, 1.0) == ["server"]


def test_it_stands_back_for_as_long_as_they_take_them() -> None:
    admission = queue_beside(FOR_ONE)
    sources(admission, 0.0)
    for moment in range(1, 5):
        for number in range(FOR_ONE):
            admission.has_sent(number, moment)
        assert "server" not in sources(admission, 0.9 * moment)
