"""Roots that are not a squashfs with systemd: Coinboot's layout unchanged, and sysvinit in a tar archive.

Both machines run side by side, on one LAN, from a seeder each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import wait_for_line
from tests.system.vm import images, roots
from tests.system.vm.lan import ADDRESS, NAME, Lan, open_lan
from tests.system.vm.machine import Machine, booting
from tests.system.vm.programs import PROMPT_S, run, running

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(900),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "mkinitramfs", "busybox", "mksquashfs", "mmdebstrap", "zstd"),
]

BOOT_S = 400.0
END = "marker: end of it"
SYSVINIT_ADDRESS = "10.99.0.77"
_CPIO = "cd $0 && find . -print0 | cpio --null --create --format=newc --quiet | zstd -q -3 -T0 -o $1"
_RELEASE_TOML = """
allow = ["setuid"]

[[profiles]]
name = "acme"
dmi = { sys_vendor = "ACME*" }
plugins = ["20-site.tar.zst"]
env = { ROLE = "by-dmi" }
"""


@dataclass(frozen=True, slots=True)
class Roots:
    """The two machines, powered on."""

    lan: Lan
    fleet: images.Fleet
    coinboot: Machine
    sysvinit: Machine


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roots]:
    work = tmp_path_factory.mktemp("roots")
    fleet = images.fleet()
    for name, write in (("coinboot", write_coinboot_release), ("sysvinit", write_sysvinit_release)):
        (work / name).mkdir()
        images.publish(write(work / name / "release"), site=work / name / "site", keys=fleet.keys)
    with ExitStack() as stack:
        lan = stack.enter_context(open_lan(work / "lan"))
        for port, name in ((8470, "coinboot"), (8480, "sysvinit")):
            lan.serve(work / name / "site", state=fleet.state(work / name / "state"), port=port)
        kernel, initramfs = images.debian_kernel().image, images.initramfs()
        coinboot = booting(
            lan, "coinboot", kernel=kernel, initramfs=initramfs, memory="1280",
            cmdline=f"swarmboot.server=https://{NAME}:8470 swarmboot.discovery=off",
        )  # fmt: skip
        fixed = f"ip={SYSVINIT_ADDRESS}::{ADDRESS}:255.255.255.0:node:ens3:none:{ADDRESS}"
        sysvinit = booting(
            lan, "sysvinit", kernel=kernel, initramfs=initramfs, memory="1280",
            cmdline=f"swarmboot.server=https://{NAME}:8480 {fixed}", more=("-smbios", "type=1,manufacturer=ACME Corp."),
        )  # fmt: skip
        yield Roots(lan, fleet, stack.enter_context(coinboot), stack.enter_context(sysvinit))


def write_coinboot_release(folder: Path) -> Path:
    """Make a release laid out as Coinboot's, of the sample's root image: zstd cpio, tar.gz plugin, settings."""
    tree = roots.write_tree(folder.parent / "tree")
    (folder / "plugins").mkdir(parents=True)
    (folder / "env").mkdir()
    run("sh", "-c", _CPIO, str(tree), str(folder / "rootfs.cpio.zst"))
    plugin = folder.parent / "plugin"
    images.write_marker(plugin)
    (plugin / "etc/hello.conf").write_text('HELLO="booted by a rack"\n')
    (plugin / "lib/firmware").mkdir(parents=True)
    (plugin / "lib/firmware/tree").write_text("through the link\n")
    (plugin / "opt").mkdir()
    (plugin / "opt/tree").symlink_to("/usr/lib/firmware/tree")
    run("tar", "-C", str(plugin), "-czf", str(folder / "plugins/coinboot-marker_v1.tar.gz"), ".")
    (folder / "env" / "default.env").write_text(f"# as Coinboot writes it\nAPT_PROXY=http://{ADDRESS}:3142\n")
    return folder


def write_sysvinit_release(folder: Path) -> Path:
    """Make a release with sysvinit in a tar root, a plugin that the profile leaves out, and one with a setuid file."""
    tree = roots.write_sysvinit_tree(folder.parent / "tree", work=folder.parent / "sysvinit-packages")
    (folder / "plugins").mkdir(parents=True)
    (folder / "env").mkdir()
    run("tar", "-C", str(tree), "--zstd", "-cf", str(folder / "rootfs.tar.zst"), ".")
    other, site = folder.parent / "other", folder.parent / "site-plugin"
    (other / "opt").mkdir(parents=True)
    (other / "opt/other").write_text("for others\n")
    run("mksquashfs", str(other), str(folder / "plugins/10-other.squashfs"), "-all-root", "-noappend", "-quiet")
    (site / "opt").mkdir(parents=True)
    (site / "etc").mkdir()
    (site / "etc/hello.conf").write_text('HELLO="booted by a rack"\n')
    (site / "opt/tool").write_text("#!/bin/sh\n")
    (site / "opt/tool").chmod(0o4755)
    run("tar", "-C", str(site), "--zstd", "-cf", str(folder / "plugins/20-site.tar.zst"), ".")
    (folder / "env" / "site.env").write_text("SITE=rack\n")
    (folder / "release.toml").write_text(_RELEASE_TOML)
    return folder


def test_a_coinboot_release_publishes_unchanged_and_boots(booted: Roots) -> None:
    booted.coinboot.wait_for(END, within_s=BOOT_S)
    marks = booted.coinboot.marks()
    print("\ncoinboot:", json.loads(marks["report"])["phases"])
    assert marks["root"] == "overlay"
    assert marks["plugin"] == "booted by a rack"
    assert marks["tree"] == "through the link"
    assert marks["environment"] == f"APT_PROXY=http://{ADDRESS}:3142"
    assert marks["seed"] == "active"


def test_a_tar_root_with_sysvinit_boots_by_dmi_profile_and_fixed_address(booted: Roots) -> None:
    booted.sysvinit.wait_for(END, within_s=BOOT_S)
    marks = booted.sysvinit.marks()
    assert marks["init"] == "init, systemd gone"
    assert marks["root"] == "overlay"
    assert marks["plugin"] == "booted by a rack"
    assert (marks["other"], marks["setuid"]) == ("gone", "4755")
    assert marks["environment"] == "SITE=rack ROLE=by-dmi"
    assert marks["address"] == f"{SYSVINIT_ADDRESS}/24"


def test_without_systemd_an_init_script_goes_on_seeding_as_nobody(booted: Roots) -> None:
    booted.sysvinit.wait_for(END, within_s=BOOT_S)
    assert booted.sysvinit.marks()["user"] == "nobody"
    assert booted.sysvinit.marks()["rights"] == f"CapPrm:{0:016x} NoNewPrivs:1"
    into, log = booted.lan.work / "fetched", booted.lan.work / "fetched.log"
    booted.lan.add_address("10.99.0.12")
    command = (
        *booted.lan.inside, sys.executable, "-m", "leecher", "--trust", str(booted.fleet.trust), "--discovery", "off",
        "--neighbours", f"{SYSVINIT_ADDRESS}:8471", "--profile", "acme", "--into", str(into), "--bind", "10.99.0.12",
        "--linger",
    )  # fmt: skip
    with running(*command, log=log):
        said = wait_for_line(log, "complete; seeding", within_s=PROMPT_S)
    assert said
    assert sorted(path.name for path in into.iterdir() if path.is_file()) == ["20-site.tar.zst", "rootfs.tar.zst"]
