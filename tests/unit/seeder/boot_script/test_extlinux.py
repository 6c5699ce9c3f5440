"""What U-Boot reads: one entry, its paths below the TFTP root, and a command line that it does not alter."""

from __future__ import annotations

import pytest
from hypothesis import given

from seeder.boot_script import extlinux as module
from seeder.boot_script.extlinux import UBootEntry, config_name, u_boot_config
from seeder.boot_script.grammar import CommandLine, Said, TftpPath
from swarmboot.errors import ReleaseError
from tests.unit.seeder.boot_script.test_grammar import TEXTS, test_scripts_are_made_of_literal_templates_alone

KEYWORDS = ["# written by swarmboot", "default swarmboot", "prompt 0", "label swarmboot"]


def build_entry(name: str = "debian", cmdline: str = "quiet", **more: object) -> UBootEntry:
    return UBootEntry(
        name=Said(name), kernel=TftpPath("u-boot/1/vmlinuz"), initramfs=TftpPath("u-boot/1/initramfs.img"),
        cmdline=CommandLine.parse(cmdline), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_an_entry_is_taken_at_once() -> None:
    assert u_boot_config(build_entry(has_mac=True)).splitlines() == [
        *KEYWORDS, "menu label debian", "linux u-boot/1/vmlinuz", "initrd u-boot/1/initramfs.img", "append quiet",
    ]  # fmt: skip


def test_one_device_tree_goes_before_a_folder_of_them() -> None:
    tree, folder = TftpPath("u-boot/1/dtb/a/b.dtb"), TftpPath("u-boot/1/dtb")
    assert "fdt u-boot/1/dtb/a/b.dtb\n" in u_boot_config(build_entry(fdt=tree, fdtdir=folder))
    assert "fdtdir u-boot/1/dtb\n" in u_boot_config(build_entry(fdtdir=folder))
    assert "fdt" not in u_boot_config(build_entry())


def test_where_the_card_is_not_known_u_boot_is_to_name_it() -> None:
    assert u_boot_config(build_entry()).splitlines()[-1] == "ipappend 2"


def test_a_file_is_asked_for_by_the_whole_mac_address() -> None:
    assert config_name("52:54:00:12:34:56") == "pxelinux.cfg/01-52-54-00-12-34-56"


@given(TEXTS)
def test_no_name_changes_what_an_entry_does(name: str) -> None:
    lines = u_boot_config(build_entry(name)).splitlines()
    assert lines[:4] == KEYWORDS
    assert [line.split(" ")[0] for line in lines[4:]] == ["menu", "linux", "initrd", "append", "ipappend"]
    assert "$" not in lines[4]


@pytest.mark.parametrize("cmdline", ["a=$(b)", "x $(ipaddr)"])
def test_a_command_line_that_u_boot_would_alter_is_refused(cmdline: str) -> None:
    with pytest.raises(ReleaseError, match="U-Boot cannot carry the kernel command line"):
        u_boot_config(build_entry(cmdline=cmdline))


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a/../b", "..", "a b", "a\nb", "a//b", "${x}", "a'"])
def test_a_path_that_leads_elsewhere_is_none(path: str) -> None:
    with pytest.raises(ValueError, match=r"may not stand in a script|leads out"):
        TftpPath(path)


def test_entries_are_made_of_literal_templates_alone() -> None:
    test_scripts_are_made_of_literal_templates_alone(module)
