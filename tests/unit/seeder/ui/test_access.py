"""Who may see the page: by token, by cookie, and only so many wrong tokens."""

from __future__ import annotations

from hashlib import sha256

from seeder.ui.access import SESSION_S, TRIES_MAX, TRIES_S, Access

TOKEN = "0123456789abcdef0123"
RIGHT = f"Bearer {TOKEN}"


def build_access(token: str = TOKEN) -> Access:
    return Access(sha256(token.encode()).digest())


def test_an_address_that_gives_too_many_wrong_tokens_is_not_listened_to_for_a_while() -> None:
    access = build_access()
    for count in range(TRIES_MAX):
        assert not access.is_token(f"Bearer wrong-{count}", "10.0.0.9", now_s=100.0)
    assert not access.is_token(RIGHT, "10.0.0.9", now_s=101.0)
    assert access.is_token(RIGHT, "10.0.0.10", now_s=101.0)
    assert access.is_token(RIGHT, "10.0.0.9", now_s=100.0 + TRIES_S)


def test_one_ipv6_network_counts_as_one_address() -> None:
    access = build_access()
    for count in range(TRIES_MAX):
        access.is_token("Bearer wrong", f"2001:db8::{count + 1}", now_s=0.0)
    assert access.is_shut("2001:db8::ffff", now_s=1.0)


def test_no_header_is_no_try() -> None:
    access = build_access()
    for _ in range(2 * TRIES_MAX):
        assert not access.is_token("", "10.0.0.9", now_s=0.0)
    assert access.is_token(RIGHT, "10.0.0.9", now_s=0.0)


def test_a_cookie_is_good_until_its_end_and_for_the_token_that_gave_it() -> None:
    cookie = build_access().cookie(now_unix_s=1000.0)
    assert build_access().is_session(cookie, now_unix_s=1000.0 + SESSION_S - 1)
    assert not build_access().is_session(cookie, now_unix_s=1000.0 + SESSION_S)
    assert not build_access("another token, as long").is_session(cookie, now_unix_s=1000.0)


def test_a_cookie_that_was_altered_is_none() -> None:
    until, code = build_access().cookie(now_unix_s=1000.0).split(".")
    for cookie in ("", ".", until, f"{int(until) + 9}.{code}", f"{until}.{code[:-1]}", f"{until}.é", f"x.{code}"):
        assert not build_access().is_session(cookie, now_unix_s=1000.0)


def test_without_a_token_nothing_that_is_brought_is_right() -> None:
    nobody = Access(b"")
    assert not nobody.is_token(RIGHT, "10.0.0.9", now_s=0.0)
    assert not nobody.is_session(nobody.cookie(now_unix_s=0.0), now_unix_s=0.0)
