"""Stage-0 admission: order, sources, slots, and that nobody waits longer than plain sharing would have taken."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from seeder.policy.admission import AHEAD_MAX, TOLD_S, Admission, AdmissionLimits, Turn
from seeder.policy.demand import OF_AN_ADDRESS

LIMITS = AdmissionLimits(uplink_bytes_per_s=100.0, load_bytes=100, server_slots=1, are_slots_fixed=True)
SHARED = replace(LIMITS, are_slots_fixed=False)


def build_admission(limits: AdmissionLimits = LIMITS, *, neighbours: dict[str, str] | None = None) -> Admission:
    """Return an admission with one server and these neighbours, each in its rack."""
    admission = Admission(limits)
    admission.offer("server", is_server=True)
    for source, rack in (neighbours or {}).items():
        admission.offer(source, rack=rack)
    return admission


def nodes_of(turns: list[Turn]) -> list[object]:
    return [turn.node for turn in turns]


def sources_of(turns: list[Turn]) -> list[object]:
    return [turn.source for turn in turns]


def test_nodes_are_let_in_in_order_of_arrival_one_at_a_time() -> None:
    admission = build_admission()
    for name in "abc":
        admission.ask(name, now_s=0.0)
    assert nodes_of(admission.admit(now_s=0.0)) == ["a"]
    assert admission.admit(now_s=0.5) == []
    admission.ended("a")
    assert nodes_of(admission.admit(now_s=1.0)) == ["b"]


def test_a_neighbour_of_the_own_rack_comes_before_others_and_the_server_last() -> None:
    admission = build_admission(replace(LIMITS, neighbour_slots=1), neighbours={"far": "r2", "near": "r1"})
    for name in "abcd":
        admission.ask(name, rack="r1", now_s=0.0)
    assert sources_of(admission.admit(now_s=0.0)) == ["near", "far", "server"]
    assert admission.waiting == 1


def test_alternates_are_other_neighbours_own_rack_first_and_never_the_chosen_one() -> None:
    admission = build_admission(neighbours={"far": "r2", "near": "r1", "next": "r1"})
    admission.ask("a", rack="r1", now_s=0.0)
    (turn,) = admission.admit(now_s=0.0)
    assert turn == Turn("a", "near", ("next", "far"))


def test_a_neighbour_that_says_when_loads_end_is_given_as_many_more_and_a_slow_one_no_more_before() -> None:
    admission = Admission(replace(LIMITS, neighbour_bytes_per_s=1e9))
    admission.offer("near", loads_sent=5)
    for name in "abcd":
        admission.ask(name, now_s=0.0)
    assert nodes_of(admission.admit(now_s=0.0)) == ["a", "b"]
    assert admission.admit(now_s=TOLD_S - 1.0) == []
    admission.has_sent("near", 6)
    assert nodes_of(admission.admit(now_s=TOLD_S - 1.0)) == ["c"]
    admission.has_sent("near", 4)  # one that has begun anew
    assert admission.admit(now_s=TOLD_S - 1.0) == []
    assert nodes_of(admission.admit(now_s=TOLD_S)) == ["d"]


def test_one_that_says_more_loads_have_ended_than_it_was_given_has_all_its_slots_and_no_more() -> None:
    admission = Admission(LIMITS)
    admission.offer("near", loads_sent=0)
    for name in "abcdef":
        admission.ask(name, now_s=0.0)
    admission.admit(now_s=0.0)
    admission.has_sent("near", 2**53)
    assert nodes_of(admission.admit(now_s=0.1)) == ["c", "d"]


def test_of_an_address_few_count_who_wait_and_of_those_that_go_last_none() -> None:
    admission = build_admission()
    for number in range(1000):
        admission.ask(("made up", number), address="10.0.0.66", now_s=0.0)
    assert admission.demand == OF_AN_ADDRESS
    for number in range(20):
        admission.ask(f"true {number}", now_s=0.0)
    assert admission.demand == OF_AN_ADDRESS + 20
    for number in range(1000):
        admission.ask(("made up", number), address="10.0.0.66", is_last=True, now_s=1.0)
    assert admission.demand == 20
    admission.admit(now_s=1.0)
    assert admission.demand == 19
    for number in range(1000):
        admission.step_out(("made up", number), now_s=1.0)
    for number in range(1, 20):
        admission.step_out(f"true {number}", now_s=1.0)
    admission.admit(now_s=60.0)
    assert (admission.waiting, admission.demand) == (0, 0)


def test_a_neighbour_that_has_gone_is_given_to_nobody() -> None:
    admission = build_admission(neighbours={"near": "r1"})
    admission.withdraw("near")
    admission.ask("a", rack="r1", now_s=0.0)
    assert admission.admit(now_s=0.0) == [Turn("a", "server")]


def test_a_neighbour_that_comes_and_goes_is_remembered_once() -> None:
    admission = build_admission(neighbours={"here": ""})
    for _ in range(3):
        admission.offer("flaps")
        admission.withdraw("flaps")
    admission.offer("flaps")
    assert [admission.next_neighbour() for _ in range(4)] == ["here", "flaps", "here", "flaps"]


def test_a_neighbour_that_leaves_while_it_serves_does_not_come_back_when_the_load_ends() -> None:
    admission = build_admission(neighbours={"near": "r1"})
    admission.ask("a", rack="r1", now_s=0.0)
    admission.admit(now_s=0.0)
    admission.withdraw("near")
    admission.ended("a")
    admission.ask("b", rack="r1", now_s=1.0)
    assert sources_of(admission.admit(now_s=1.0)) == ["server"]


def test_a_neighbour_that_left_while_it_served_and_came_back_serves_when_that_load_ends() -> None:
    admission = build_admission(neighbours={"near": "r1"})
    admission.ask("a", rack="r1", now_s=0.0)
    assert sources_of(admission.admit(now_s=0.0)) == ["near"]
    admission.withdraw("near")
    admission.offer("near", rack="r1")
    admission.ended("a")
    admission.ask("b", rack="r1", now_s=1.0)
    assert sources_of(admission.admit(now_s=1.0)) == ["near"]


def test_a_node_that_was_told_to_ask_again_keeps_its_place_but_holds_nobody_up() -> None:
    admission = build_admission()
    for name in "abc":
        admission.ask(name, now_s=0.0)
    admission.admit(now_s=0.0)
    admission.step_out("b", now_s=0.5)
    admission.ended("a")
    assert nodes_of(admission.admit(now_s=1.0)) == ["c"]
    admission.ask("d", now_s=1.1)
    admission.ask("b", now_s=1.2)
    assert (admission.ahead("b"), admission.ahead("d")) == (0, 1)
    admission.ended("c")
    assert nodes_of(admission.admit(now_s=2.0)) == ["b"]


def test_a_node_that_does_not_come_back_loses_its_place() -> None:
    admission = build_admission()
    admission.ask("a", now_s=0.0)
    admission.ask("b", now_s=0.0)
    admission.admit(now_s=0.0)
    admission.step_out("b", now_s=0.0)
    admission.admit(now_s=LIMITS.absent_s + 1)
    assert admission.waiting == 0


def test_a_dead_load_frees_its_slot_and_one_that_moves_does_not() -> None:
    admission = build_admission()
    for name in "ab":
        admission.ask(name, now_s=0.0)
    admission.admit(now_s=0.0)
    admission.progressed("a", now_s=4.0)
    assert admission.next_s(now_s=4.0) == 9.0
    assert admission.admit(now_s=8.0) == []
    assert nodes_of(admission.admit(now_s=9.0)) == ["b"]


def test_a_neighbour_is_free_again_after_the_time_that_its_rate_allows() -> None:
    limits = replace(LIMITS, neighbour_slots=1, neighbour_bytes_per_s=50.0, server_slots=0)
    admission = build_admission(limits, neighbours={"near": ""})
    for name in "ab":
        admission.ask(name, now_s=0.0)
    assert nodes_of(admission.admit(now_s=0.0)) == ["a"]
    assert admission.next_s(now_s=0.0) == 2.5
    assert nodes_of(admission.admit(now_s=2.5)) == ["b"]


def test_a_node_that_asks_again_after_its_turn_is_a_new_one() -> None:
    admission = build_admission()
    for name in "ab":
        admission.ask(name, now_s=0.0)
    admission.admit(now_s=0.0)
    admission.ask("a", now_s=0.1)
    assert nodes_of(admission.admit(now_s=0.1)) == ["b"]
    assert admission.loading == 1


def test_one_more_is_let_in_whenever_the_uplink_could_be_through_with_those_before() -> None:
    admission = build_admission(SHARED)
    for name in "abcde":
        admission.ask(name, now_s=0.0)
    assert nodes_of(admission.admit(now_s=0.0)) == ["a"]
    assert admission.next_s(now_s=0.0) == 1.0
    assert admission.admit(now_s=0.9) == []
    assert nodes_of(admission.admit(now_s=1.0)) == ["b"]
    assert admission.admit(now_s=1.9) == []
    assert nodes_of(admission.admit(now_s=2.0)) == ["c"]


def test_a_turn_that_changes_late_does_not_delay_those_after_it() -> None:
    admission = build_admission(SHARED)
    for name in "abcde":
        admission.ask(name, now_s=0.0)
    admission.admit(now_s=0.0)
    assert nodes_of(admission.admit(now_s=1.3)) == ["b"]
    assert nodes_of(admission.admit(now_s=2.0)) == ["c"]


def test_time_in_which_nobody_waits_is_nobodys_credit() -> None:
    admission = build_admission(SHARED)
    for name in "abc":
        admission.ask(name, now_s=50.0)
    assert nodes_of(admission.admit(now_s=50.0)) == ["a"]
    assert admission.admit(now_s=50.9) == []


def test_an_idle_server_lets_the_next_one_in_whatever_its_uplink_is_said_to_carry() -> None:
    admission = build_admission(SHARED)
    for name in "ab":
        admission.ask(name, now_s=0.0)
    admission.admit(now_s=0.0)
    admission.ended("a")
    assert nodes_of(admission.admit(now_s=0.1)) == ["b"]


def test_loads_that_fail_at_once_leave_no_debt_to_those_that_come_later() -> None:
    admission = build_admission(SHARED)
    for name in "abcdefgh":
        admission.ask(name, now_s=0.0)
    for name in "abcde":
        assert nodes_of(admission.admit(now_s=0.0)) == [name]
        admission.ended(name)
    assert nodes_of(admission.admit(now_s=0.0)) == ["f"]
    assert nodes_of(admission.admit(now_s=1.0)) == ["g"]


def test_two_servers_have_an_uplink_each_and_are_asked_in_turn() -> None:
    admission = build_admission(replace(SHARED, uplink_bytes_per_s=200.0))
    admission.offer("other", is_server=True)
    for name in "abcdef":
        admission.ask(name, now_s=0.0)
    assert sources_of(admission.admit(now_s=0.0)) == ["server", "other"]
    assert sorted(map(str, sources_of(admission.admit(now_s=1.0)))) == ["other", "server"]


def test_fixed_slots_are_never_exceeded() -> None:
    admission = build_admission()
    for name in "ab":
        admission.ask(name, now_s=0.0)
    admission.admit(now_s=0.0)
    for now_s in range(1, 60):
        admission.progressed("a", now_s=now_s)
        assert admission.admit(now_s=now_s) == []


def finishes(arrivals: list[float], limits: AdmissionLimits, *, node_bytes_per_s: float = math.inf) -> list[float]:
    """Return when each node is done, as a fluid: who is let in shares the uplink."""
    admission = build_admission(limits)
    left: dict[object, float] = {}
    done = [math.inf] * len(arrivals)
    now_s, coming = 0.0, 0
    while math.inf in done:
        while coming < len(arrivals) and arrivals[coming] <= now_s:
            admission.ask(coming, now_s=now_s)
            coming += 1
        left |= {turn.node: float(limits.load_bytes) for turn in admission.admit(now_s=now_s)}
        rate = min(node_bytes_per_s, limits.uplink_bytes_per_s / max(1, len(left)))
        next_s = arrivals[coming] if coming < len(arrivals) else math.inf
        next_s = min(next_s, now_s + 0.1, *(now_s + size / rate for size in left.values()), math.inf)
        left = {node: size - rate * (next_s - now_s) for node, size in left.items()}
        now_s = next_s
        for node in [node for node, size in left.items() if size <= 1e-6]:
            assert isinstance(node, int)
            done[node] = now_s
            del left[node]
            admission.ended(node)
        for node in left:
            admission.progressed(node, now_s=now_s)
    return done


def lateness_s(arrivals: list[float], limits: AdmissionLimits, *, node_bytes_per_s: float = math.inf) -> float:
    """Return by how much the unluckiest node is done later than if all shared the uplink at once."""
    everyone = replace(limits, server_slots=len(arrivals), are_slots_fixed=True)
    queued = finishes(arrivals, limits, node_bytes_per_s=node_bytes_per_s)
    shared = finishes(arrivals, everyone, node_bytes_per_s=node_bytes_per_s)
    return max(queue_s - share_s for queue_s, share_s in zip(queued, shared, strict=True))


ARRIVALS = st.lists(st.floats(0, 20), min_size=1, max_size=12).map(sorted)


@given(ARRIVALS)
def test_one_at_a_time_no_node_is_done_later_than_sharing_would_have_made_it(arrivals: list[float]) -> None:
    assert lateness_s(arrivals, LIMITS) <= 1e-3


@given(ARRIVALS, st.floats(5.0, 100.0))
@example([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 4.0], 20.0)
def test_with_any_node_rate_no_node_is_later_by_more_than_its_own_load(arrivals: list[float], rate: float) -> None:
    assert lateness_s(arrivals, SHARED, node_bytes_per_s=rate) <= SHARED.load_bytes / rate + 1e-3


def test_nodes_that_come_one_by_one_and_then_all_at_once_do_not_end_up_sharing() -> None:
    """A node that comes while another loads is no reason for all that follow to load beside one another."""
    arrivals = [0.0, 0.5, *(0.7 + 0.01 * number for number in range(40))]
    done = finishes(arrivals, SHARED, node_bytes_per_s=SHARED.uplink_bytes_per_s)
    assert sorted(done) == done
    assert done[20] < 0.6 * done[-1]


class Counted:
    """A machine that counts how often it is compared."""

    compared = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return self is other


def test_what_one_question_costs_does_not_grow_with_those_who_wait() -> None:
    admission = Admission(AdmissionLimits(uplink_bytes_per_s=1e6, load_bytes=10**7))
    admission.offer("server", is_server=True)
    for number in range(20_000):  # made up: none of them is here when its turn comes
        forged = Counted(number)
        admission.ask(forged, now_s=0.0)
        admission.step_out(forged, now_s=0.0)
    machine, Counted.compared = Counted(20_000), 0
    admission.ask(machine, now_s=1.0)
    assert admission.ahead(machine) == AHEAD_MAX
    assert [turn.node for turn in admission.admit(now_s=1.0)] == [machine]
    assert Counted.compared < 2 * AHEAD_MAX
