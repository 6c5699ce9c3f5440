"""Boot menus: what is in them, that nobody need sit before them, and what the trust lets be started."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from seeder.boot_script import menu as module
from seeder.boot_script.grammar import CommandLine, Mac, Said, Source, Token
from seeder.boot_script.load import Stage0Trust
from seeder.boot_script.menu import Item, Kind, MemoryTest, Menu, grub_menu, ipxe_menu
from swarmboot.ids import Digest
from tests.unit.seeder.boot_script.test_grammar import (
    TEXTS,
    grub_commands,
    ipxe_commands,
    test_scripts_are_made_of_literal_templates_alone,
    variables,
)  # fmt: skip

TEST = MemoryTest(Digest(b"\x01" * 32), Digest(b"\x02" * 32), CommandLine(("console=ttyS0",)))


def build_menu(
    said: str = "debian", *, trust: Stage0Trust = Stage0Trust.LAN, memtest: MemoryTest = TEST, seconds: int = 10
) -> Menu:
    items = (
        Item(Kind.LOAD, Token("release"), Said(said)),
        Item(Kind.LOAD, Token("channel-edge"), Said(said)),
        Item(Kind.LOCAL, Token("local"), Said("disk")),
        Item(Kind.MEMTEST, Token("memtest"), Said("memory")),
    )
    return Menu(
        origin=Source("10.0.0.1", 80), mac=Mac("52:54:00:12:34:56"), seconds=seconds, items=items, trust=trust,
        memtest=memtest,
    )  # fmt: skip


def test_the_first_item_is_taken_when_the_time_is_over_and_where_there_are_no_menus() -> None:
    lines = ipxe_menu(build_menu()).splitlines()
    assert lines[1].endswith(" || goto item1")
    assert "choose --default item1 --timeout 10000 chosen || goto item1" in lines
    grub = grub_menu(build_menu()).splitlines()
    assert grub[:3] == ["set timeout_style=menu", "set timeout=10", "set default=0"]
    assert grub[3] == "menuentry '1. debian' --hotkey 1 --id release {"


def test_a_load_is_asked_for_by_its_word() -> None:
    url = "10.0.0.1/boot.ipxe?mac=52-54-00-12-34-56&item=channel-edge"
    assert f"chain --replace http://{url} || goto failed" in ipxe_menu(build_menu()).splitlines()
    assert "configfile '(http,10.0.0.1)/grub.cfg?mac=52-54-00-12-34-56&item=release'" in grub_menu(build_menu())


def test_every_place_to_go_on_in_ipxes_is_there_and_nothing_falls_through() -> None:
    script = ipxe_menu(build_menu())
    labels = re.findall(r"^:(\w+)$", script, re.MULTILINE)
    assert set(re.findall(r"goto (\w+)", script)) <= set(labels)
    before = [
        line for line, after in zip(script.splitlines(), script.splitlines()[1:], strict=False) if after[0] == ":"
    ]
    assert all(line.endswith("|| goto failed") or line.startswith("goto ") for line in before)


@given(TEXTS)
def test_no_name_changes_what_a_menu_does(said: str) -> None:
    for write, read in ((ipxe_menu, ipxe_commands), (grub_menu, grub_commands)):
        plain, evil = write(build_menu()), write(build_menu(said))
        assert read(evil) == read(plain)
        assert variables(evil) == variables(plain)
        assert evil.isascii()


@pytest.mark.parametrize("trust", list(Stage0Trust))
def test_a_memory_test_is_started_unchecked_only_where_that_is_allowed(trust: Stage0Trust) -> None:
    is_checked = trust is Stage0Trust.IPXE_VERIFY
    script, grub = ipxe_menu(build_menu(trust=trust)), grub_menu(build_menu(trust=trust))
    for digest in ("01" * 32, "02" * 32):
        assert (f"iseq ${{found}} {digest} || goto failed\nboot" in script) == is_checked
    assert ("chainloader" in grub) != is_checked


def test_a_memory_test_that_is_not_there_is_not_loaded() -> None:
    script = ipxe_menu(build_menu(memtest=MemoryTest(bios=TEST.bios)))
    assert "memtest.efi" not in script
    assert "chainloader" not in grub_menu(build_menu(memtest=MemoryTest(bios=TEST.bios)))


def test_menus_are_made_of_literal_templates_alone() -> None:
    test_scripts_are_made_of_literal_templates_alone(module)
