"""What a terminal shows: pure text, no line too long, nothing by colour alone."""

from __future__ import annotations

from typing import Any

import pytest

from seeder.console import layout
from seeder.record.policy import shapes
from seeder.record.policy.causes import Site
from seeder.record.policy.ledger import Ledger
from seeder.record.policy.view import Release, Traffic, View, build_view, row_of
from swarmboot.wire.report import FAILED
from tests.support.record import HOST, MAC, build_heard, build_report


def build_ledger() -> Ledger:
    ledger = Ledger()
    ledger.asked(MAC, host=HOST, rack="r1", now_s=90.0)
    ledger.granted(MAC, host=HOST, now_s=95.0)
    ledger.announced(build_heard(name="n17", mac=MAC), now_s=100.0)
    failed = build_report("bb" * 16, FAILED, mac="", boot="", error="no \x1b[31mroom", exit_status=61)
    ledger.reported(failed, host="10.0.0.2", now_s=101.0)
    ledger.missed("10.0.0.3", "edgy", now_s=102.0)
    return ledger


def build_fleet_view() -> View:
    ledger = build_ledger()
    return build_view(
        ledger.boots.values(),
        ledger.pace.limits_s(),
        now_s=110.0,
        releases=(Release("debian", 7, ("stable",)),),
        ends=(("the authority", 110.0 + 86400 * 30),),
        traffic=Traffic(50e6, 125e6, 1.05, 5),
    )


def story_of(host: str) -> dict[str, Any]:
    ledger = build_ledger()
    boot = ledger.find(host)
    assert boot is not None
    row = row_of(boot, ledger.pace.limits_s(), Site({}), now_s=110.0)
    return shapes.story(row, now_s=110.0, earlier=[boot])


def test_one_screen_says_who_failed_who_is_stuck_and_why() -> None:
    text = "\n".join(layout.status(shapes.fleet(build_fleet_view()), where="https://x:1", width=200))
    assert "3 nodes: 0 up, 1 booting, 1 stuck, 1 failed" in text
    assert "! 10.0.0.2  9.0 s: no \\x1b[31mroom (exit status 61)" in text
    assert "? 10.0.0.3  manifest, 8.0 s: asked for channel edgy; this site has stable" in text
    assert "uplink 400mbit of 1gbit, 1.05 copies sent" in text
    assert "7 debian (stable): 1 node" in text
    assert "in 30 days" in text


def test_a_name_that_other_machines_have_too_is_said_with_how_to_ask_for_one() -> None:
    story = story_of("10.0.0.2") | {"name": "debian"}
    assert "calls itself" not in "\n".join(layout.story(story, width=200))
    story["namesakes"] = {"count": 1, "some": ["52:54:00:00:00:01"]}
    said = "1 other machine calls itself debian: 52:54:00:00:00:01; ask for one by its MAC address"
    assert said in layout.story(story, width=200)
    story["namesakes"] = {"count": 5, "some": ["a", "b", "c"]}
    assert "5 other machines call themselves debian: a, b, c, and 2 more;" in "\n".join(layout.story(story, width=200))


def test_nothing_that_a_node_says_reaches_the_terminal_as_a_control() -> None:
    view = build_fleet_view()
    for lines in (
        layout.status(shapes.fleet(view), where="x", width=300),
        layout.nodes(shapes.nodes(view), width=300),
        layout.nodes(shapes.nodes(view), width=60),
        layout.story(story_of("10.0.0.2"), width=80),
        layout.history(shapes.history([row.boot for row in view.rows], now_s=1.0), width=80),
    ):
        assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("width", [1, 40, 60, 80, 120, 200])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    view = build_fleet_view()
    wide = max(width, layout.LEAST_WIDTH)
    for lines in (
        layout.status(shapes.fleet(view), where="https://10.0.0.1:8470", width=width, height=24),
        layout.nodes(shapes.nodes(view), width=width),
        layout.story(story_of(MAC), width=width),
        layout.story(story_of("10.0.0.2"), width=width),
        layout.history(shapes.history([row.boot for row in view.rows], now_s=1.0), width=width),
    ):
        assert max(map(len, lines)) <= wide


def test_a_screen_that_is_watched_is_not_scrolled() -> None:
    ledger = Ledger()
    for number in range(300):
        host = f"10.0.{number // 250}.{number % 250}"
        failed = build_report(f"{number:032x}", FAILED, mac="", boot="", error="no room", exit_status=61)
        ledger.reported(failed, host=host, now_s=100.0)
        ledger.missed(f"10.1.{number // 250}.{number % 250}", "edgy", now_s=100.0)
    view = build_view(ledger.boots.values(), ledger.pace.limits_s(), now_s=110.0)
    assert len(layout.status(shapes.fleet(view), where="x", width=80, height=30)) <= 30


def test_a_story_is_a_waterfall_with_the_cause_and_what_to_do() -> None:
    lines = layout.story(story_of(MAC), width=80)
    assert lines[0] == f"n17  {MAC}  {HOST}  rack r1"
    assert lines[1] == "BOOTING in images for 10 s"
    queue, stage0, images = (line for line in lines if "|" in line)
    assert queue.startswith("queue  |=")
    assert queue.endswith("5.0 s")
    assert stage0.index("=") > queue.index("=")
    assert images.endswith("| 10 s so far")
    assert ">" in images
    failed = layout.story(story_of("10.0.0.2"), width=80)
    assert any(line.startswith("do:  give the machine more memory") for line in failed)


def test_a_state_that_is_rare_has_a_cell_in_the_bar() -> None:
    drawn = layout.bar({"total": 500, "up": 499, "failed": 1}, width=80)
    assert drawn == f"[{'#' * 77}!]"


def test_an_empty_fleet_is_said_in_words() -> None:
    assert layout.nodes({"nodes": []}, width=80) == ["no node is like that"]
    assert layout.nodes({"nodes": []}, width=80, nobody="none yet") == ["none yet"]
    assert layout.history({"boots": []}, width=80) == ["no boot was seen yet"]


def test_where_it_is_narrow_a_cause_has_lines_of_its_own_and_nothing_of_it_is_cut_off() -> None:
    view = build_fleet_view()
    lines = layout.nodes(shapes.nodes(view), width=60)
    at = next(number for number, line in enumerate(lines) if "10.0.0.3" in line)
    assert lines[at] == "? 10.0.0.3  stuck in manifest 8.0 s"
    assert lines[at + 1] == "    asked for channel edgy; this site has stable"
    status = layout.status(shapes.fleet(view), where="https://x:1", width=60)
    assert any(line.startswith("  ends first: ") and "(in 30 days), the authority" in line for line in status)


def test_a_boot_that_goes_on_has_no_time_that_it_took_and_one_that_ended_has_all_of_it() -> None:
    ledger = build_ledger()
    lines = layout.history(shapes.history(ledger.boots.values(), now_s=110.0), width=120)
    going = next(line for line in lines if "n17" in line)
    assert going.endswith("images, release 7")
    failed = next(line for line in lines if "10.0.0.2" in line)
    assert "failed in 10 s" in failed
