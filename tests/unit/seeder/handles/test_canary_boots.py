"""How a canary's boots went beside the others': decided from what the record answers."""

from __future__ import annotations

from typing import Any

import pytest

from seeder.handles.canary import chosen, parse_share
from seeder.handles.canary_boots import Tally, fitting, lines, tallies
from swarmboot.errors import MalformedSettingError
from swarmboot.release.canary import Canary

CANARY = Canary(fleet="f", channel="stable", source="edge", racks=("r1",), issued_unix_s=1000)


def boot(number: int, channel: str, outcome: str, *, began_s: float = 2000.0) -> dict[str, Any]:
    return {"id": str(number), "channel": channel, "outcome": outcome, "began_unix_s": began_s}


def node(number: int, channel: str, state: str, *, rack: str = "") -> dict[str, Any]:
    return {"id": str(number), "channel": channel, "state": state, "mac": f"02:00:00:00:00:{number:02x}", "rack": rack}


def test_what_loads_its_kernel_and_is_never_heard_of_again_has_failed() -> None:
    history = [
        boot(1, "edge", "up"), boot(2, "edge", "failed"), boot(3, "edge", "kernel"), boot(4, "edge", "kernel"),
        boot(5, "edge", "images"), boot(6, "stable", "up"), boot(7, "stable", "left"), boot(8, "other", "failed"),
    ]  # fmt: skip
    nodes = [node(1, "edge", "up"), node(3, "edge", "stuck"), node(5, "edge", "booting"), node(6, "stable", "up")]
    own, others = tallies(CANARY, history, nodes)
    assert own == Tally(up=1, failed=3, going=1, nodes=1)
    assert others == Tally(up=2, failed=0, going=0, nodes=1)
    assert (own.failed_share, others.failed_share, Tally().failed_share) == (0.75, 0.0, None)
    assert "75.0%" in lines(CANARY, (own, others), (1, 4))[2]


def test_boots_from_before_the_canary_count_for_nobody() -> None:
    assert tallies(CANARY, [boot(1, "edge", "failed", began_s=999.0)], []) == (Tally(), Tally())


def test_known_machines_are_counted_by_their_address_and_rack() -> None:
    nodes = [node(1, "", "up", rack="r1"), node(2, "", "up", rack="r2"), {**node(3, "", "up", rack="r1"), "mac": ""}]
    assert fitting(CANARY, nodes) == (1, 2)


@pytest.mark.parametrize(("text", "ppm"), [("5%", 50_000), (" 0.5 % ", 5_000), ("100%", 1_000_000)])
def test_a_share_is_a_percentage(text: str, ppm: int) -> None:
    assert parse_share(text) == ppm


@pytest.mark.parametrize("text", ["", "5", "0%", "101%", "-5%", "5%%", "1e2%", "nan%", "١%", "0.00001%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(MalformedSettingError, match="as in 5%"):
        parse_share(text)


def test_addresses_are_taken_as_people_write_them_and_each_once() -> None:
    found = chosen(share_ppm=0, racks=("r1", "r1"), macs=("52-54-00-12-34-AB", "52:54:00:12:34:ab"))
    assert (found.macs, found.racks) == (("52:54:00:12:34:ab",), ("r1",))
