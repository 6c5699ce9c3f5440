"""A node's settings: one table, three places to write them, and no typing mistake passed over."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.hook.settings_page import describe
from swarmboot.errors import MalformedSettingError, UnknownSettingError
from swarmboot.settings import TABLE, NodeSettings, Setting, build_settings, parse_cmdline, parse_environment


def test_without_any_source_every_setting_has_its_default() -> None:
    settings = build_settings()
    assert settings.server == ""
    assert settings.trust == ()
    assert settings.ca is None
    assert settings.into == Path("/run/swarmboot")
    assert settings.channel == "stable"
    assert settings.reserve_bytes == 64 * 2**20
    assert settings.discovery is True
    assert settings.linger is False
    assert settings.up_bytes_per_s == 0.0


def test_the_table_and_the_settings_have_the_same_rows() -> None:
    assert [setting.field for setting in TABLE] == [field.name for field in fields(NodeSettings)]


def test_a_flag_beats_the_environment_which_beats_the_kernel_command_line() -> None:
    cmdline = {"channel": "a", "rack": "r1", "port": "1"}
    settings = build_settings(cmdline, {"channel": "b", "rack": "r2"}, {"channel": "c"})
    assert (settings.channel, settings.rack, settings.port) == ("c", "r2", 1)


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.name)
def test_every_example_in_the_table_is_a_good_value(setting: Setting) -> None:
    settings = build_settings(parse_cmdline(f"{setting.argument}={setting.example}"))
    assert getattr(settings, setting.field) == setting.parse(setting.example)


def test_the_kernel_command_line_is_read_among_other_arguments() -> None:
    found = parse_cmdline("BOOT_IMAGE=/vmlinuz root=swarmboot swarmboot.channel=edge quiet swarmboot.rack=r1 -- x")
    assert found == {"channel": "edge", "rack": "r1"}


def test_the_last_of_a_name_wins_and_a_list_grows() -> None:
    found = parse_cmdline("swarmboot.rack=r1 swarmboot.trust=/a swarmboot.rack=r2 swarmboot.trust=/b,/c")
    assert found == {"rack": "r2", "trust": "/a,/b,/c"}
    assert build_settings(found).trust == (Path("/a"), Path("/b"), Path("/c"))


def test_a_switch_without_a_value_is_on() -> None:
    assert build_settings(parse_cmdline("swarmboot.linger")).linger is True


def test_the_name_that_linger_had_is_understood() -> None:
    assert build_settings(parse_cmdline("swarmboot.neighbour")).linger is True
    assert build_settings({"neighbour": "on"}).linger is True
    assert build_settings({"neighbour": "on"}, {"linger": "off"}).linger is False
    assert build_settings(parse_environment({"SWARMBOOT_NEIGHBOUR": "on"})).linger is True
    assert parse_environment({"SWARMBOOT_NEIGHBOUR": "on", "SWARMBOOT_LINGER": "off"}) == {"linger": "off"}


@pytest.mark.parametrize("cmdline", ["swarmboot=1 quiet", "swarmboot=0", "rd.swarmboot=1", "noswarmboot.x=1", ""])
def test_what_is_no_setting_is_left_to_others(cmdline: str) -> None:
    assert parse_cmdline(cmdline) == {}


@pytest.mark.parametrize(
    ("cmdline", "named"),
    [
        ("swarmboot.sever=https://a", "swarmboot.sever"),
        ("swarmboot.=1", "swarmboot."),
        ("swarmboot_server=https://a", "swarmboot_server"),
        ("swarmboot.Server=https://a", "swarmboot.Server"),
        ("swarmboot.b=1 swarmboot.a=2 swarmboot.a=3", "swarmboot.a, swarmboot.b"),
    ],
)
def test_an_unknown_argument_is_named(cmdline: str, named: str) -> None:
    with pytest.raises(UnknownSettingError, match=f"unknown kernel argument {re.escape(named)}: expected"):
        parse_cmdline(cmdline)


@pytest.mark.parametrize(
    ("cmdline", "profile"),
    [
        ('swarmboot.profile="a b" quiet', "a b"),
        ('"swarmboot.profile=a b" quiet', "a b"),
        ('x="y z" swarmboot.profile=a', "a"),
        ('swarmboot.profile="a b', "a b"),
        ('x="1 2" swarmboot.profile="a b', "a b"),
        ("swarmboot.profile=a\\b", "a\\b"),
        ("swarmboot.profile=a'b", "a'b"),
        ("swarmboot.profile=a#b", "a#b"),
        ("swarmboot.profile=a=b", "a=b"),
        ("swarmboot.profile=a\tquiet", "a"),
        ("swarmboot.profile=a\n", "a"),
        ('swarmboot.profile=""', ""),
    ],
)
def test_words_are_split_as_the_kernel_splits_them(cmdline: str, profile: str) -> None:
    assert parse_cmdline(cmdline) == {"profile": profile}


def refusal(action: Callable[[], object]) -> str | None:
    """Return the line with which the action is refused, or None."""
    try:
        action()
    except (UnknownSettingError, MalformedSettingError) as error:
        return str(error)
    return None


@given(st.text(max_size=60))
def test_any_command_line_is_read_or_refused_by_name(cmdline: str) -> None:
    refused = refusal(lambda: build_settings(parse_cmdline(f"{cmdline} swarmboot.{cmdline}")))
    assert refused is None or "swarmboot." in refused


@given(st.sampled_from(TABLE), st.text(max_size=40))
def test_any_value_is_read_or_refused_with_the_arguments_name(setting: Setting, value: str) -> None:
    refused = refusal(lambda: build_settings({setting.name: value}))
    assert refused is None or f"{setting.argument} ({setting.flag})" in refused


def test_the_environment_is_read_by_name_and_others_are_left_alone() -> None:
    environment = {"SWARMBOOT_RACK": "r1", "SWARMBOOT_KEY": "/k", "HOME": "/root", "swarmboot_port": "1"}
    assert parse_environment(environment) == {"rack": "r1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server", "10.0.0.1:8470"),
        ("server", "ftp://a"),
        ("server", "https://"),
        ("server", "https://user@a"),
        ("server", "https://a?x=1"),
        ("server", "https://a#x"),
        ("server", "https://[::1"),
        ("server", "https://a:99999"),
        ("server", "https://a:port"),
        ("server", "https://a:0"),
        ("server", "https://a b"),
        ("into", ""),
        ("channel", "Stable"),
        ("channel", "../x"),
        ("rack", "a b"),
        ("bind", "localhost"),
        ("port", "65536"),
        ("port", "-1"),
        ("port", ""),
        ("port", "١"),
        ("neighbours", "10.0.0.1"),
        ("neighbours", ":80"),
        ("neighbours", "a:99999"),
        ("discovery", "maybe"),
        ("up", "fast"),
        ("timeout", "soon"),
        ("floor", "-1"),
        ("floor", "1.5"),
        ("reserve", "much"),
        ("progress", "loud"),
    ],
)
def test_a_malformed_value_is_refused_with_an_example(name: str, value: str) -> None:
    (setting,) = (setting for setting in TABLE if setting.name == name)
    with pytest.raises(MalformedSettingError) as refused:
        build_settings({name: value})
    assert refused.value.what.startswith(f"swarmboot.{name} ({setting.flag}) is ")
    assert setting.example in refused.value.hint


@pytest.mark.parametrize(
    ("field", "value", "parsed"),
    [
        ("server", "https://[::1]:8470/", "https://[::1]:8470"),
        ("server", "http://seed.example/boot", "http://seed.example/boot"),
        ("bind", "fd00::5", "fd00::5"),
        ("neighbours", "10.0.0.7:8471,[fd00::1]:8471,", (("10.0.0.7", 8471), ("fd00::1", 8471))),
        ("up_bytes_per_s", "none", 0.0),
        ("up_bytes_per_s", "200mbit", 25e6),
        ("timeout_s", "10min", 600.0),
        ("discovery", "OFF", False),
    ],
)
def test_a_good_value_is_parsed(field: str, value: str, parsed: object) -> None:
    (setting,) = (setting for setting in TABLE if setting.field == field)
    assert getattr(build_settings({setting.name: value}), field) == parsed


def test_an_empty_value_of_a_setting_without_default_means_not_set() -> None:
    settings = build_settings({"server": "", "trust": "", "ca": "", "up": "", "neighbours": ""})
    assert settings == build_settings()


def test_the_page_of_settings_has_a_row_for_each() -> None:
    page = describe()
    assert all(f"`{setting.argument}`" in page and f"`{setting.flag}`" in page for setting in TABLE)
    assert len(page.splitlines()) == len(TABLE) + 2


@pytest.mark.parametrize("value", ["0123456789abcdef,0123456789abcdef", "0123456789abcdef", "unified"])
def test_stage_0_is_named_by_two_digests_by_one_or_as_unified(value: str) -> None:
    assert build_settings(parse_cmdline(f"swarmboot.stage0={value}")).stage0 == value


@pytest.mark.parametrize(
    ("cmdline", "hint"),
    [
        ("swarmboot.sever=https://10.0.0.1:8470", "for swarmboot.sever write swarmboot.server"),
        ("swarmboot.fleet-token=/t", "for swarmboot.fleet-token write swarmboot.fleet_token"),
        ("swarmboot_rack=r1", "for swarmboot_rack write swarmboot.rack"),
        ("swarmboot.wibble=1", "correct the spelling or take it out"),
    ],
)
def test_what_a_misspelt_argument_probably_means_is_said(cmdline: str, hint: str) -> None:
    with pytest.raises(UnknownSettingError) as caught:
        parse_cmdline(cmdline)
    assert caught.value.hint == hint


def test_a_command_line_full_of_nonsense_costs_few_comparisons() -> None:
    with pytest.raises(UnknownSettingError) as caught:
        parse_cmdline(" ".join(f"swarmboot.serve{number}=1" for number in range(400)))
    assert caught.value.hint.count("write") <= 4
