"""Machines for which DHCP has no address left, and what status, page and metrics say of them."""

from __future__ import annotations

from seeder.console import layout
from seeder.record.policy import shapes
from seeder.record.policy.addressless import KEPT_S, Addressless
from seeder.record.policy.view import build_view

MACS = tuple(f"52:54:00:00:00:{number:02x}" for number in range(5))


def test_a_machine_is_without_an_address_until_it_gets_one_or_falls_silent() -> None:
    known = Addressless()
    for second, mac in enumerate((*MACS, MACS[0])):
        known.turned_away(mac, now_s=float(second))
    known.given(MACS[2])
    assert known.machines(5.0) == (MACS[1], MACS[3], MACS[4], MACS[0])
    assert known.machines(KEPT_S + 4.5) == (MACS[0],)
    assert known.machines(KEPT_S + 6.0) == ()
    assert known.times == 6


def test_machines_that_are_made_up_take_no_more_than_so_much_memory() -> None:
    known = Addressless()
    for number in range(10_000):
        known.turned_away(f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}", now_s=0.0)
    assert len(known.machines(0.0)) == 4096


def test_status_says_for_whom_there_is_no_address_and_what_to_do() -> None:
    fleet = shapes.fleet(build_view((), {}, now_s=0.0, addressless=MACS))
    said = " ".join(line.strip() for line in layout.status(fleet, where="x", width=80))
    assert f"! DHCP has no address left for 5 machines ({', '.join(MACS[2:])}, ...): give a larger --dhcp-range" in said
    one = shapes.fleet(build_view((), {}, now_s=0.0, addressless=MACS[:1]))
    assert f"for 1 machine ({MACS[0]}):" in "\n".join(layout.status(one, where="x", width=200))
    none = shapes.fleet(build_view((), {}, now_s=0.0))
    assert "no address" not in "\n".join(layout.status(none, where="x", width=80))


def test_what_a_seeder_of_before_answers_is_shown_as_it_was() -> None:
    fleet = shapes.fleet(build_view((), {}, now_s=0.0))
    del fleet["without_address"]
    assert layout.status(fleet, where="x", width=80)
