"""GRUB's own parser takes every script, whatever stands in the release: grub-script-check(1) reads without running."""

from __future__ import annotations

import subprocess

import pytest

from seeder.boot_script.chainload import grub_menu_entry, stick_menu
from seeder.boot_script.grammar import CommandLine, Mac, Source
from seeder.boot_script.grub import GRUB
from seeder.boot_script.load import Stage0Trust
from seeder.boot_script.menu import MemoryTest
from tests.unit.seeder.boot_script.test_grammar import EVIL, ODD, build_load, build_stage0
from tests.unit.seeder.boot_script.test_menu import build_menu

pytestmark = pytest.mark.needs("grub-script-check")


@pytest.mark.parametrize("is_unified", [False, True])
@pytest.mark.parametrize("cmdline", ["", f'{ODD} a="b c"'])
def test_grub_parses_every_script(cmdline: str, is_unified: bool) -> None:
    origin, mac = Source("fd00::7", 8471), Mac("52:54:00:12:34:56")
    load = build_load(CommandLine.parse(cmdline), Stage0Trust.LAN, origin)
    scripts = [GRUB.entry(origin), GRUB.wait(origin, mac, 3, 1, None)]
    scripts += [GRUB.boot(build_stage0(name, is_unified=is_unified), load) for name in EVIL]
    scripts += [GRUB.refusal(origin, mac, reason) for reason in EVIL]
    scripts += [GRUB.menu(build_menu(name)) for name in EVIL] + [GRUB.menu(build_menu(memtest=MemoryTest()))]
    for script in scripts:
        subprocess.run(["grub-script-check"], input=script, text=True, check=True, timeout=20)


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::7", "boot.rack.example"])
@pytest.mark.parametrize("port", [80, 8471])
def test_grub_parses_what_a_disk_and_a_stick_hold(host: str, port: int) -> None:
    for script in (grub_menu_entry(Source(host, port)), stick_menu(Source(host, port))):
        subprocess.run(["grub-script-check"], input=script, text=True, check=True, timeout=20)
