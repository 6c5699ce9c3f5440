"""What the leecher leaves for the hook, and how a node's settings come together in an initramfs."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from leecher.boot.hand_off import HandOff, Image, environment_text, plan, write_secret
from leecher.initramfs.__main__ import pause_s
from leecher.initramfs.node_settings import baked_proving, node_settings, parse_defaults, parse_node_file
from leecher.machine import clock
from seeder.hook.settings_page import describe
from swarmboot.crypto.fleet_token import read_tokens, write_token
from swarmboot.errors import MalformedSettingError, UnknownSettingError
from swarmboot.setting_values import SEED_RATE
from swarmboot.settings import TABLE
from swarmboot.text.units import parse_rate

IMAGES = (Image("root", "squashfs", "rootfs.squashfs"), Image("plugin", "tar.gz", "10-driver.tar.gz"))


def test_the_plan_names_images_in_order_one_a_line() -> None:
    hand_off = HandOff("/run/swarmboot/images", IMAGES, {"A": "b"}, (), "50%", is_seeding=True)
    assert plan(hand_off).splitlines() == [
        "root squashfs rootfs.squashfs",
        "plugin tar.gz 10-driver.tar.gz",
        "overlay 50%",
        "seed on",
        "search off",
    ]


@pytest.mark.parametrize(
    ("allow", "expected"), [((), "on"), (("devices",), "on"), (("setuid",), "on"), (("devices", "setuid"), "off")]
)
def test_squashfs_plugins_are_searched_unless_they_may_bring_anything(allow: tuple[str, ...], expected: str) -> None:
    images = (Image("root", "squashfs", "rootfs.squashfs"), Image("plugin", "squashfs", "10-layer.squashfs"))
    hand_off = HandOff("/run/swarmboot/images", images, {}, allow, "50%", is_seeding=True)
    assert plan(hand_off).splitlines()[-1] == f"search {expected}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain-1.2/x:y", "K=plain-1.2/x:y\n"),
        ("two words", 'K="two words"\n'),
        ("$(reboot)", 'K="\\$(reboot)"\n'),
        ('a"b`c\\', 'K="a\\"b\\`c\\\\"\n'),
    ],
)
def test_a_setting_is_written_as_data(value: str, expected: str) -> None:
    assert environment_text("", {"K": value}) == expected


def test_a_release_setting_takes_the_place_of_the_images_own() -> None:
    assert environment_text("PATH=/bin\nTZ=UTC\n", {"TZ": "Europe/Paris"}) == "PATH=/bin\nTZ=Europe/Paris\n"


def test_the_command_line_goes_over_the_defaults_and_what_the_hook_forces_over_both() -> None:
    settings = node_settings(
        "quiet swarmboot.server=https://10.0.0.1:8470 swarmboot.into=/tmp swarmboot.overlay=1G",
        {"server": "https://10.0.0.9:8470", "rack": "r1"},
        {"into": "/run/swarmboot/images"},
    )
    assert (settings.server, settings.rack) == ("https://10.0.0.1:8470", "r1")
    assert (str(settings.into), settings.overlay) == ("/run/swarmboot/images", "1G")


@pytest.mark.parametrize(("argument", "expected"), [("swarmboot.floor=3", 41), ("swarmboot.floor=50", 50), ("", 41)])
def test_the_command_line_raises_the_floor_and_never_lowers_it(argument: str, expected: int) -> None:
    assert node_settings(argument, {"floor": "41"}, {}).floor == expected


def test_a_misspelt_argument_is_named() -> None:
    with pytest.raises(UnknownSettingError, match=r"swarmboot\.sever"):
        node_settings("swarmboot.sever=https://10.0.0.1:8470", {}, {})


def test_a_default_that_is_no_setting_is_named_with_its_file() -> None:
    with pytest.raises(UnknownSettingError, match="/etc/swarmboot/defaults sets colour"):
        parse_defaults("# comment\nfloor=3\ncolour=red\n", where="/etc/swarmboot/defaults")


@pytest.mark.parametrize(
    ("text", "expected"), [("on", parse_rate(SEED_RATE)), ("off", 0.0), ("0", 0.0), ("200mbit", 25e6)]
)
def test_seeding_after_the_boot_is_limited_or_off(text: str, expected: float) -> None:
    assert node_settings(f"swarmboot.seed={text}", {}, {}).seed_bytes_per_s == expected


@pytest.mark.parametrize("text", ["0", "100%", "512", "1T", "50%,size=100%", "", "-1G"])
def test_a_part_of_the_memory_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(MalformedSettingError, match=r"swarmboot\.overlay"):
        node_settings(f"swarmboot.overlay={text or '%'}", {}, {})


def test_pauses_double_up_to_half_a_minute_with_jitter() -> None:
    random = Random(1)
    for attempt in range(1, 60):
        most_s = min(30.0, 2.0**attempt)
        assert most_s / 2 <= pause_s(attempt, random) <= most_s


def test_a_clock_is_early_only_before_the_build() -> None:
    assert clock.missing_s(0.0, built_unix_s=100) == 100.0
    assert clock.missing_s(200.0, built_unix_s=100) == 0.0


def test_the_settings_table_describes_every_argument() -> None:
    page = describe()
    assert all(f"`{setting.argument}`" in page for setting in TABLE)


def test_the_command_line_may_name_a_fleet_but_not_another_than_the_initramfs() -> None:
    assert node_settings("swarmboot.fleet=hall-3", {}, {}).fleet == "hall-3"
    assert node_settings("quiet", {"fleet": "hall-3"}, {}).fleet == "hall-3"
    assert node_settings("swarmboot.fleet=hall-3", {"fleet": "hall-3"}, {}).fleet == "hall-3"
    for weaker in ("swarmboot.fleet=hall-4", "swarmboot.fleet="):
        with pytest.raises(MalformedSettingError, match=r"swarmboot\.fleet contradicts"):
            node_settings(weaker, {"fleet": "hall-3"}, {})


def test_the_command_line_chooses_no_other_token_and_takes_none_away() -> None:
    baked = {"fleet_token": "/etc/swarmboot/fleet.token"}
    for cmdline in ("swarmboot.fleet_token=/tmp/known", "swarmboot.fleet_token="):
        assert node_settings(cmdline, baked, {}).fleet_token == Path("/etc/swarmboot/fleet.token")
    assert node_settings("swarmboot.fleet_token=/tmp/known", {}, {}).fleet_token is None
    assert node_settings("", baked, {"fleet_token": ""}).fleet_token is None


@pytest.mark.parametrize("name", ["fleet_token", "secrets"])
def test_a_node_file_says_nothing_of_token_and_secrets(name: str) -> None:
    with pytest.raises(UnknownSettingError, match="which only the initramfs itself may"):
        parse_node_file(f"{name}=/tmp/x\n", where="node")


def test_a_secret_file_is_for_its_owner_whatever_stood_there(tmp_path: Path) -> None:
    path, target = tmp_path / "deep/secret.env", tmp_path / "target"
    path.parent.mkdir()
    path.symlink_to(target)
    write_secret(path, "A=b\n")
    assert not target.exists()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_boot_whose_settings_are_wrong_still_proves_the_token_when_it_says_why(tmp_path: Path) -> None:
    """A misspelt kernel argument is just what the seeder's log should name."""
    token = tmp_path / "fleet.token"
    write_token(token)
    (tmp_path / "defaults").write_text(f"fleet_token={token}\n")
    assert baked_proving(tmp_path).tokens == read_tokens(token)


def test_a_boot_without_a_token_proves_none(tmp_path: Path) -> None:
    assert baked_proving(tmp_path).tokens == ()
    (tmp_path / "defaults").write_text(f"fleet_token={tmp_path}/nowhere\n")
    assert baked_proving(tmp_path).tokens == ()
