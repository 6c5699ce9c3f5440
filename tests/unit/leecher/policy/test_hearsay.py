"""Which answers on the LAN a node passes on, and whom it answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leecher.policy import hearsay
from leecher.policy.hearsay import AnswerLimit, Hearsay
from swarmboot.ids import NodeId, Sequence
from swarmboot.wire.discovery import Presence

NONCE = b"n" * 16


def presence(port: int = 6881, nonce: bytes = NONCE) -> Presence:
    return Presence(NodeId(bytes(16)), Sequence(1), port, 8471, nonce)


def build_hearsay(*asked: str, is_here: bool = False) -> Hearsay:
    heard = Hearsay(is_here=is_here)
    heard.probed(NONCE)
    for host in asked:
        heard.asked(host)
    return heard


def test_an_answer_to_a_probe_is_passed_on_and_again_when_it_comes_again() -> None:
    heard = build_hearsay()
    for now_s in (0.0, 1.0, 100.0):
        assert heard.is_believed("10.0.0.7", presence(), is_on_link=True, now_s=now_s)


def test_an_answer_to_no_probe_of_ours_is_not_passed_on() -> None:
    for nonce in (b"", b"x" * 16):
        assert not build_hearsay().is_believed("10.0.0.7", presence(nonce=nonce), is_on_link=True, now_s=0.0)


def test_a_number_is_good_for_three_probes() -> None:
    heard = build_hearsay()
    for number in range(hearsay.NONCES_KEPT):
        assert heard.is_believed("10.0.0.7", presence(), is_on_link=True, now_s=float(number))
        heard.probed(bytes([number]) * 16)
    assert not heard.is_believed("10.0.0.7", presence(), is_on_link=True, now_s=9.0)


def test_an_answer_from_beyond_a_router_counts_only_from_an_address_that_was_asked() -> None:
    assert not build_hearsay().is_believed("10.9.0.7", presence(), is_on_link=False, now_s=0.0)
    assert build_hearsay("10.9.0.7").is_believed("10.9.0.7", presence(), is_on_link=False, now_s=0.0)


def test_a_node_that_repeats_no_number_counts_only_at_an_address_that_was_asked() -> None:
    heard = build_hearsay("10.0.0.7")
    assert heard.is_believed("10.0.0.7", presence(nonce=b""), is_on_link=True, now_s=0.0)
    assert not heard.is_believed("10.0.0.8", presence(nonce=b""), is_on_link=True, now_s=0.0)


def test_loopback_neighbours_are_those_of_a_node_that_lives_there() -> None:
    assert not build_hearsay().is_believed("127.0.0.2", presence(), is_on_link=True, now_s=0.0)
    assert build_hearsay(is_here=True).is_believed("127.0.0.2", presence(), is_on_link=True, now_s=0.0)


def test_one_address_has_a_few_ports_and_no_more() -> None:
    heard = build_hearsay()
    passed = [heard.is_believed("10.0.0.7", presence(port), is_on_link=True, now_s=0.0) for port in range(1, 1000)]
    assert sum(passed) == hearsay.PORTS_OF_ONE


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5), st.floats(0, 2)), max_size=400))
def test_new_endpoints_are_bounded_in_number_and_rate(answers: list[tuple[int, int, float]]) -> None:
    heard = build_hearsay()
    now_s, endpoints = 0.0, set()
    for number, (host, port, pause_s) in enumerate(answers):
        now_s += pause_s
        where = f"10.{host}.{number >> 8}.{number & 255}"
        if heard.is_believed(where, presence(port), is_on_link=True, now_s=now_s):
            endpoints.add((where, port))
        assert len(endpoints) <= min(hearsay.ENDPOINTS_MAX, hearsay.ENDPOINTS_AT_ONCE + now_s * hearsay.ENDPOINTS_PER_S)


def test_a_whole_rack_is_heard_at_once() -> None:
    heard = build_hearsay()
    passed = [heard.is_believed(f"10.0.0.{n}", presence(), is_on_link=True, now_s=0.0) for n in range(1, 129)]
    assert all(passed)


def test_probes_in_anothers_name_are_answered_a_few_times_a_second() -> None:
    limit = AnswerLimit()
    answered = [limit.may_answer("10.0.0.7", is_of_group=True, now_s=1.0) for _ in range(1000)]
    assert sum(answered) == hearsay.GROUP_ANSWERS_PER_S <= 8
    assert limit.may_answer("10.0.0.8", is_of_group=True, now_s=1.0)
    assert limit.may_answer("10.0.0.7", is_of_group=True, now_s=2.0)


def test_answers_are_bounded_in_all() -> None:
    limit = AnswerLimit()
    answered = [limit.may_answer(f"10.0.{n >> 8}.{n & 255}", is_of_group=False, now_s=1.0) for n in range(1000)]
    assert sum(answered) == hearsay.ANSWERS_MAX_PER_S
