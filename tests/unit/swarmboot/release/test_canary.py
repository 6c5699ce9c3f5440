"""Which machines are canaries: a question of MAC address and rack alone, answered the same by every server."""

from __future__ import annotations

import pytest

from swarmboot.errors import ManifestError
from swarmboot.release.canary import EVERYBODY_PPM, Canary, decode_canary, drawn_ppm, encode_canary, is_canary

MACS = [f"52:54:00:{number >> 8:02x}:{number & 255:02x}:01" for number in range(4000)]


def build_canary(**more: object) -> Canary:
    return Canary(fleet="swarmboot", channel="stable", source="edge", **more)  # type: ignore[arg-type]


def canaries(canary: Canary, *, rack: str = "") -> set[str]:
    return {mac for mac in MACS if is_canary(canary, mac=mac, rack=rack)}


def test_a_share_is_that_share_of_many_machines_and_a_larger_one_takes_them_in() -> None:
    few, more = canaries(build_canary(share_ppm=50_000)), canaries(build_canary(share_ppm=200_000))
    assert 0.04 < len(few) / len(MACS) < 0.06
    assert few < more
    assert canaries(build_canary(share_ppm=EVERYBODY_PPM)) == set(MACS)
    assert not canaries(build_canary())


def test_who_is_drawn_does_not_change_from_one_build_to_the_next() -> None:
    assert drawn_ppm(build_canary(), "52:54:00:12:34:56") == 232125


def test_another_channel_has_other_canaries() -> None:
    edge = canaries(build_canary(share_ppm=100_000))
    other = canaries(Canary(fleet="swarmboot", channel="stable", source="next", share_ppm=100_000))
    assert len(edge & other) < len(edge) / 3


@pytest.mark.parametrize(
    ("canary", "mac", "rack", "expected"),
    [
        (build_canary(macs=("52:54:00:12:*",)), "52:54:00:12:34:56", "", True),
        (build_canary(macs=("52:54:00:12:*",)), "52:54:00:13:34:56", "", False),
        (build_canary(racks=("r1",)), "52:54:00:13:34:56", "r1", True),
        (build_canary(racks=("r1",)), "52:54:00:13:34:56", "r10", False),
        (build_canary(racks=("r1",)), "52:54:00:13:34:56", "", False),
        (build_canary(racks=("r1",), macs=("02:*",)), "02:00:00:00:00:01", "r2", True),
    ],
)
def test_any_of_share_rack_and_address_makes_a_canary(canary: Canary, mac: str, rack: str, expected: bool) -> None:
    assert is_canary(canary, mac=mac, rack=rack) is expected


def test_what_is_signed_is_read_back_and_anything_else_is_refused() -> None:
    canary = build_canary(macs=("52:54:*",), racks=("r1", "r2"), share_ppm=12_500, issued_unix_s=1_800_000_000)
    assert decode_canary(encode_canary(canary)) == canary
    assert canary.who == "1.25 % of the machines, racks r1, r2, 52:54:*"
    others = (
        build_canary(share_ppm=EVERYBODY_PPM + 1), build_canary(racks=("r 1",)), build_canary(macs=("zz:*",)),
        Canary(fleet="f", channel="stable", source="../../etc"), Canary(fleet="f", channel="a b", source="edge"),
    )  # fmt: skip
    for wrong in (b"", b"\x80", encode_canary(canary)[:-1], *map(encode_canary, others)):
        with pytest.raises(ManifestError, match="signed canary cannot be used"):
            decode_canary(wrong)
