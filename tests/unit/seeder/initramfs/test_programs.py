"""Which programs and libraries of a dracut initramfs stay."""

from __future__ import annotations

import pytest

from seeder.initramfs.programs import (
    BUSYBOX,
    has_networkd_alone,
    is_spare_library,
    libraries_named,
    replaced,
    spare,
    spare_libraries,
    wants_bash,
)

NETWORKD = "usr/lib/systemd/systemd-networkd"
APPLETS = ("awk", "cat", "grep", "ip", "mount", "readlink", "sh")
PROGRAMS = {
    BUSYBOX, NETWORKD, "usr/bin/bash", "usr/bin/sh", "usr/bin/cat", "usr/bin/mawk", "usr/bin/ip", "usr/bin/mount",
    "usr/bin/readlink", "usr/bin/flock", "usr/lib/cat", "usr/sbin/modprobe",
}  # fmt: skip


def test_busybox_stands_for_what_it_has_and_scripts_ask_of_it_alone() -> None:
    names = {"bash", "sh", "cat", "mawk", "ip"}
    assert replaced(PROGRAMS, APPLETS, is_bash_wanted=False) == {f"usr/bin/{name}" for name in names}
    assert replaced(PROGRAMS, ("sh", "cat"), is_bash_wanted=False) == {"usr/bin/bash", "usr/bin/sh", "usr/bin/cat"}


def test_shells_stay_where_a_script_asks_for_bash() -> None:
    assert replaced(PROGRAMS, APPLETS, is_bash_wanted=True) == {"usr/bin/cat", "usr/bin/mawk", "usr/bin/ip"}


@pytest.mark.parametrize(
    ("programs", "applets"), [(PROGRAMS - {BUSYBOX}, APPLETS), (PROGRAMS, ("cat", "grep")), (PROGRAMS, ())]
)
def test_without_a_busybox_that_is_a_shell_all_programs_stay(programs: set[str], applets: tuple[str, ...]) -> None:
    assert not replaced(programs, applets, is_bash_wanted=False)


@pytest.mark.parametrize("other", ["usr/sbin/NetworkManager", "usr/sbin/dhclient", "usr/sbin/connmand"])
def test_another_network_than_networkds_is_seen(other: str) -> None:
    assert has_networkd_alone(PROGRAMS)
    assert not has_networkd_alone(PROGRAMS | {other})
    assert not has_networkd_alone(PROGRAMS - {NETWORKD})


def test_networkd_needs_no_bus() -> None:
    bus = {"usr/bin/dbus-daemon", "usr/lib/systemd/system/dbus.socket", "usr/bin/pgrep"}
    assert spare(PROGRAMS | bus) == bus


@pytest.mark.parametrize("head", [b"#!/bin/bash\n", b"#! /usr/bin/env bash\n", b"#!/usr/bin/bash -e\n"])
def test_a_script_for_bash_is_known_by_its_first_line(head: bytes) -> None:
    assert wants_bash("usr/bin/own", head)
    assert not wants_bash("var/lib/dracut/hooks/initqueue/settled/99-networkd-run.sh", head)
    assert not wants_bash("usr/bin/own", b"#!/bin/sh\n# not for bash\n")
    assert not wants_bash("usr/bin/own", b"#!/bin/bashful\n")


def test_a_library_that_is_opened_by_name_is_seen() -> None:
    program = b"\x7fELF\0libc.so.6\0see libx.so.1\0/usr/lib/liby.so.2\0\0libidn2.so.0\0libfoo-1.2.so\0lib\0libz.so.1 is"
    assert libraries_named(program) == {"libc.so.6", "libidn2.so.0"}
    assert is_spare_library("usr/lib/x86_64-linux-gnu/libelf-0.192.so")
    assert not is_spare_library("usr/lib/x86_64-linux-gnu/libelfin.so.1")


def test_a_library_goes_with_the_last_that_links_it() -> None:
    links = {
        "usr/bin/grep": ("lib/libpcre.so.1", "lib/libc.so.6"),
        "usr/bin/bash": ("lib/libtinfo.so.6", "lib/libc.so.6"),
        "usr/bin/ip": ("lib/libelf.so.1",),
        "usr/bin/mount": ("lib/libselinux.so.1", "lib/libc.so.6"),
        "lib/libselinux.so.1": ("lib/libpcre.so.1",),
        "lib/libelf.so.1": ("lib/libz.so.1",),
        "lib/libbpf.so.1": ("lib/libelf.so.1",),
        **dict.fromkeys(("lib/libpcre.so.1", "lib/libtinfo.so.6", "lib/libc.so.6", "lib/libz.so.1"), ()),
        "lib/libopened-by-name.so.1": (),
    }
    gone = {"usr/bin/grep", "usr/bin/bash", "usr/bin/ip"}
    out = {"lib/libtinfo.so.6", "lib/libelf.so.1", "lib/libbpf.so.1"}
    assert spare_libraries(links, gone, {"lib/libz.so.1"}) == out
    assert spare_libraries(links, gone, ()) == out | {"lib/libz.so.1"}
    assert spare_libraries(links, (), ()) == {"lib/libbpf.so.1"}
