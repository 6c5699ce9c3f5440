"""Whom a node asks for a release, and when it takes the newest that is proved: told who said and did what, and when."""

from __future__ import annotations

import math
from random import Random

from leecher.policy.claims import AT_ONCE, GATHER_S, HIGHER_S, OF_AN_ADDRESS, SERVER_S, YOUNG_S, Address, Claims
from swarmboot.ids import Sequence

HONEST, LIAR = ("10.0.0.1", 6881), ("10.0.0.2", 6881)


def heard(*said: tuple[Address, int]) -> Claims:
    """Return the state after these claims were heard at 0."""
    claims = Claims(Random(1))
    for address, number in said:
        claims.heard(address, Sequence(number), now_s=0.0)
    return claims


def ask_all(claims: Claims, *, now_s: float = 0.0) -> list[Address]:
    """Ask for as long as there is somebody to ask; return whom."""
    asked = []
    while (address := claims.next_to_ask(now_s=now_s)) is not None:
        asked.append(address)
    return asked


def standing(number: int) -> tuple[int, Sequence]:
    return 0, Sequence(number)


def test_the_newest_that_is_proved_is_the_best_whoever_was_first() -> None:
    claims = heard((HONEST, 5), (LIAR, 4))
    ask_all(claims)
    claims.proved(LIAR, standing(4), now_s=0.1)
    claims.proved(HONEST, standing(5), now_s=0.2)
    assert claims.best() == (standing(5), HONEST)
    assert claims.settles_s(now_s=0.3) == GATHER_S


def test_whoever_claims_more_is_waited_for_but_not_for_ever() -> None:
    claims = heard((HONEST, 5), (LIAR, 10**9))
    ask_all(claims)
    claims.proved(HONEST, standing(5), now_s=0.2)
    assert claims.settles_s(now_s=1.0) == 0.2 + HIGHER_S
    claims.refused(LIAR)
    assert claims.settles_s(now_s=1.0) <= 1.0


def test_a_neighbour_that_serves_less_than_it_said_is_not_asked_again() -> None:
    claims = heard((LIAR, 9))
    assert ask_all(claims) == [LIAR]
    assert claims.is_too_little(LIAR, Sequence(3))
    assert ask_all(claims, now_s=1000.0) == []
    assert claims.best() is None


def test_a_claim_made_in_a_neighbours_name_does_not_have_it_refused() -> None:
    claims = heard((HONEST, 10**9), (HONEST, 5))
    ask_all(claims)
    assert not claims.is_too_little(HONEST, Sequence(5))


def test_a_neighbour_refused_for_another_claim_is_asked_again_once_it_speaks_for_itself() -> None:
    claims = heard((HONEST, 10**9))
    ask_all(claims)
    assert claims.is_too_little(HONEST, Sequence(5))
    claims.heard(HONEST, Sequence(5), now_s=1.0)
    assert ask_all(claims, now_s=1.0) == [HONEST]


def test_half_of_those_asked_are_chosen_by_lot() -> None:
    liars = [((f"10.0.1.{number}", 6881), 10**9) for number in range(200)]
    honest = [((f"10.0.2.{number}", 6881), 5) for number in range(200)]
    asked = ask_all(heard(*liars, *honest))
    assert len(asked) == AT_ONCE
    assert sum(address[0].startswith("10.0.2.") for address in asked) >= AT_ONCE // 8


def test_one_host_is_asked_at_few_ports_at_once() -> None:
    assert len(ask_all(heard(*[(("10.0.0.9", port), 5) for port in range(1, 5)]))) == OF_AN_ADDRESS


def test_who_waits_takes_the_place_of_who_has_had_its_time() -> None:
    claims = heard(*[((f"10.0.1.{number}", 6881), 9) for number in range(AT_ONCE + 1)])
    first = ask_all(claims)
    assert claims.overtaken(now_s=YOUNG_S / 2) is None
    address = claims.overtaken(now_s=YOUNG_S)
    assert address in first
    claims.failed(address, now_s=YOUNG_S)
    (last,) = ask_all(claims, now_s=YOUNG_S)
    assert last not in first


def test_nobody_is_overtaken_while_nobody_waits() -> None:
    claims = heard((LIAR, 9))
    ask_all(claims)
    assert claims.overtaken(now_s=1000.0) is None


def test_a_server_that_was_reached_is_waited_for_until_it_fails() -> None:
    claims = heard((LIAR, 4))
    ask_all(claims)
    claims.server_reached(now_s=0.0)
    claims.proved(LIAR, standing(4), now_s=1.5)
    assert claims.settles_s(now_s=2.0) == SERVER_S
    claims.server_failed()
    assert claims.settles_s(now_s=2.0) <= 2.0


def test_a_server_whose_channel_names_nothing_newer_is_not_waited_for() -> None:
    claims = heard((HONEST, 5))
    ask_all(claims)
    claims.server_reached(now_s=0.0)
    claims.proved(HONEST, standing(5), now_s=1.5)
    claims.pointed(standing(5))
    assert claims.settles_s(now_s=2.0) <= 2.0
    claims.pointed(standing(6))
    assert claims.settles_s(now_s=2.0) == 1.5 + SERVER_S


def test_after_a_rotation_a_smaller_number_may_be_the_newer() -> None:
    claims = heard((HONEST, 1), (LIAR, 900))
    ask_all(claims)
    claims.proved(LIAR, (0, Sequence(900)), now_s=0.1)
    claims.proved(HONEST, (1, Sequence(1)), now_s=0.2)
    assert claims.best() == ((1, Sequence(1)), HONEST)


def test_a_neighbour_that_does_not_answer_is_asked_again_later_and_later() -> None:
    claims = heard((HONEST, 5))
    now_s, pauses_s = 0.0, []
    for _ in range(4):
        while not ask_all(claims, now_s=now_s):
            now_s += 0.5
        pauses_s.append(now_s)
        claims.failed(HONEST, now_s=now_s)
    assert pauses_s == sorted(pauses_s)
    assert pauses_s[3] - pauses_s[2] > pauses_s[2] - pauses_s[1]


def test_a_release_that_was_set_aside_leaves_the_next_one() -> None:
    claims = heard((HONEST, 4), (LIAR, 5))
    ask_all(claims)
    claims.proved(HONEST, standing(4), now_s=0.1)
    claims.proved(LIAR, standing(5), now_s=0.2)
    claims.set_aside(standing(5), now_s=30.0)
    assert claims.best() == (standing(4), HONEST)


def test_without_a_proof_there_is_nothing_to_settle() -> None:
    assert heard((HONEST, 5)).settles_s(now_s=100.0) == math.inf
