"""Which machines are shown a boot menu, and which, as a file says it."""

from __future__ import annotations

import pytest

from seeder.stage0.menu_map import MenuMap, parse_menu_map
from swarmboot.errors import MalformedSettingError
from tests.support.stage0 import A, B

TEXT = """# who            how long, and what
52:54:00:00:00:0a 10 release channel:edge local memtest
10.0.13.0/24      5  local release   # the lab
"""


def test_the_first_line_that_fits_a_machine_is_its_menu() -> None:
    menus = parse_menu_map(TEXT, where="menus")
    mine, labs = menus.menu(A, "10.0.13.4"), menus.menu(B, "10.0.13.4")
    assert mine is not None
    assert labs is not None
    assert (mine.seconds, [each.name for each in mine.choices]) == (10, ["release", "channel:edge", "local", "memtest"])
    assert (labs.seconds, [each.name for each in labs.choices]) == (5, ["local", "release"])
    assert menus.menu(B, "10.0.14.4") is None
    assert menus.channels == ("edge",)
    assert menus.has_memtest


def test_who_has_no_menu_boots_at_once() -> None:
    assert MenuMap().menu(A, "10.0.0.1") is None
    assert parse_menu_map("# nothing\n\n", where="menus") == MenuMap()


def test_an_item_is_asked_for_by_a_word_that_no_channel_can_take_from_another() -> None:
    line = parse_menu_map("* 3 release channel:release channel:memtest memtest", where="menus").lines[0]
    assert [each.word.text for each in line.choices] == ["release", "channel-release", "channel-memtest", "memtest"]
    assert line.choice("channel-memtest") == line.choices[2]
    assert line.choice("local") is None
    assert line.choice("") is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("* 10", "is no line of a boot menu"),
        ("* 0 release", "is no line of a boot menu"),
        ("* ten release", "is no line of a boot menu"),
        ("* 99999 release", "is no line of a boot menu"),
        ("zz:* 10 release", "is no line of a boot menu"),
        ("* 10 release release", "1 to 9 different items"),
        ("* 10 " + " ".join(f"channel:c{number}" for number in range(10)), "1 to 9 different items"),
        ("* 10 relaese", "has no item 'relaese'.*did you mean release"),
        ("* 10 channel:Edge", "'channel:Edge' names no channel"),
        ("* 10 channel:", "'channel:' names no channel"),
        ("* 10 channel:a';halt;'", "names no channel"),
    ],
)
def test_a_line_that_is_none_of_a_boot_menu_is_named(line: str, said: str) -> None:
    with pytest.raises(MalformedSettingError, match=f"menus:2.*{said}"):
        parse_menu_map(f"\n{line}\n", where="menus")
