"""Machines on networks of every kind reach their root: several cards, IPv6 alone, fixed addresses, dracut's own ways.

The root is next to nothing, says what it found, and ends. The machines run two at a time.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_for_line
from tests.system.vm import images, roots
from tests.system.vm.lan import ADDRESS_IPV6, NAME, Lan, open_lan
from tests.system.vm.machine import OWN_CLOCK, Machine, booting, mac_of
from tests.system.vm.programs import PROMPT_S, running

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(1800),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "mkinitramfs", "dracut", "busybox", "mksquashfs"),
]

BOOT_S = 600.0
"""A bound on hangs, several times what a busy machine takes."""

END = "marker: end of it"
NO_BOOTIF = "BOOTIF=01-52-54-00-FF-FF-FF"
SERVER = f"swarmboot.server=https://{NAME}:8470"
PADDING_BYTES = 8_000_000
_PROFILES = f"""
[[profiles]]
name = "by-mac"
macs = ["{mac_of("named-card", 1)[:-2]}*"]
env = {{ ROLE = "by-mac" }}

[[profiles]]
name = "by-name"
env = {{ ROLE = "by-name" }}
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A published release and what it takes to boot it on any LAN."""

    work: Path
    site: Path
    fleet: images.Fleet
    kernel: images.Kernel

    def serve(self, lan: Lan, *, port: int = 8470) -> None:
        """Serve the release on a LAN."""
        lan.serve(self.site, state=self.fleet.state(lan.work / f"state-{port}"), port=port)

    def boot(self, lan: Lan, name: str, cmdline: str, **more: Any) -> AbstractContextManager[Machine]:
        """Return a machine to power on for a block."""
        more = {"initramfs": images.initramfs(), "memory": "512", **more}
        return booting(lan, name, kernel=self.kernel.image, cmdline=cmdline, **more)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    work = tmp_path_factory.mktemp("networks")
    fleet, release = images.fleet(), work / "release"
    release.mkdir()
    roots.write_tiny_root(release / "rootfs.squashfs", work=work / "tree", padding_bytes=PADDING_BYTES)
    (release / "release.toml").write_text(_PROFILES)
    images.publish(release, site=work / "site", keys=fleet.keys)
    return Bench(work, work / "site", fleet, images.debian_kernel())


@pytest.fixture(scope="module")
def lan(bench: Bench) -> Iterator[Lan]:
    """A LAN with a seeder, and beside it a network that gives addresses and leads nowhere."""
    with open_lan(bench.work / "lan") as opened:
        opened.add_other()
        bench.serve(opened)
        yield opened


def marks(machine: Machine) -> dict[str, str]:
    """Return what the root said, once it has said it all."""
    machine.wait_for(END, within_s=BOOT_S)
    found = machine.marks()
    phases = "  ".join(f"{name} {seconds:.1f}" for name, seconds in json.loads(found["report"])["phases"].items())
    ready_s = machine.wait_for("the root is ready after", within_s=1)
    print(f"\n{machine.name}: {phases}  root ready at {ready_s:.1f} s")
    assert found["root"] == "overlay"
    return found


def test_several_cards_and_bootif_names_the_one_to_use_or_none_of_them(bench: Bench, lan: Lan) -> None:
    bootif = f"BOOTIF=01-{mac_of('named-card', 1).replace(':', '-').upper()}"
    more = {"cards": ("other", "rack"), "more": OWN_CLOCK}
    with (
        bench.boot(lan, "named-card", f"{SERVER} swarmboot.seed=off {bootif}", **more) as named,
        bench.boot(lan, "any-card", f"{SERVER} swarmboot.profile=by-name {NO_BOOTIF}", **more) as unnamed,
    ):
        found = marks(named)
        assert "10.66." not in found["addresses"]
        assert (found["environment"], found["seed"]) == ("ROLE=by-mac", "none")
        found = marks(unnamed)
        check_says_no_card(unnamed, cards=2)
        assert "10.66." in found["addresses"]
        assert "10.99." in found["addresses"]
        assert (found["environment"], found["seed"]) == ("ROLE=by-name", "placed")
    leases = (lan.work / "other-leases").read_text()
    assert mac_of("any-card", 0) in leases
    assert mac_of("named-card", 0) not in leases


def check_says_no_card(machine: Machine, *, cards: int) -> None:
    """Check that a machine has said once that none of its cards is the one of NO_BOOTIF, and which it has."""
    (found,) = re.findall("swarmboot: no card has BOOTIF's 52:54:00:ff:ff:ff; found (.*); taking all", machine.console)
    assert [each.split()[1] for each in found.split(", ")] == [mac_of(machine.name, card) for card in range(cards)]


def test_ipv6_alone_and_a_neighbour_that_has_nothing_else_either(bench: Bench) -> None:
    server = f"https://[{ADDRESS_IPV6}]:8470"
    with ExitStack() as stack:
        lan = stack.enter_context(open_lan(bench.work / "ipv6", has_ipv4=False))
        bench.serve(lan)
        lan.add_address("fd99::11")
        log = lan.work / "neighbour.log"
        neighbour = (
            *lan.inside, sys.executable, "-m", "leecher", "--server", server, "--trust", str(bench.fleet.trust), "--ca",
            str(bench.fleet.authority), "--into", str(lan.work / "neighbour"), "--bind", "fd99::11", "--linger",
        )  # fmt: skip
        stack.enter_context(running(*neighbour, log=log))
        wait_for_line(log, "complete; seeding", within_s=PROMPT_S)
        found = marks(stack.enter_context(bench.boot(lan, "ipv6", f"swarmboot.server={server}")))
    assert "10." not in found["addresses"]
    assert json.loads(found["report"])["bytes_from"]["neighbours"] > 0


def test_a_network_fault_is_retried_until_the_timeout_and_from_the_rescue_shell(bench: Bench, lan: Lan) -> None:
    cmdline = f"swarmboot.server=https://{NAME}:8472 swarmboot.discovery=off swarmboot.timeout=15s"
    with bench.boot(lan, "patient", cmdline, more=OWN_CLOCK) as machine:
        machine.wait_for("cannot be reached: .*trying again", within_s=BOOT_S)
        machine.wait_for(r"swarmboot: stopped: the network failed .*\(status 2[0-9]", within_s=PROMPT_S)
        machine.wait_for("no root; the lines above say why", within_s=PROMPT_S)
        machine.wait_for("Enter 'help' for a list of built-in commands", within_s=PROMPT_S)
        machine.enter("echo in the shell: $((6 * 7))")
        machine.wait_for("in the shell: 42", within_s=PROMPT_S)
        bench.serve(lan, port=8472)
        machine.enter("exit")
        marks(machine)


def test_dracut_with_networkd_and_a_fixed_address_and_with_network_manager(bench: Bench, lan: Lan) -> None:
    fixed = "ip=10.99.0.77::10.99.0.1:255.255.255.0:node:ens3:none nameserver=10.99.0.1"
    cmdline, more = f"{SERVER} init=/sbin/init", {"memory": "768"}
    networkd, manager = images.initramfs("dracut"), images.initramfs("dracut", beside=("network-manager",))
    assert [holds_network_manager(each) for each in (networkd, manager)] == [False, True]
    with (
        bench.boot(lan, "networkd", f"{cmdline} {fixed}", initramfs=networkd, **more) as first,
        bench.boot(lan, "network-manager", cmdline, initramfs=manager, **more) as second,
    ):
        assert "10.99.0.77/24" in marks(first)["addresses"]
        assert "10.99.0." in marks(second)["addresses"]


@pytest.mark.vm_all
def test_dracut_asks_on_that_card_alone_which_bootif_names_beside_ip_dhcp(bench: Bench, lan: Lan) -> None:
    bootif = f"ip=dhcp BOOTIF=01-{mac_of('spares-others', 1).replace(':', '-')}"
    more = {"initramfs": images.initramfs("dracut"), "memory": "768", "cards": ("other", "rack")}
    with bench.boot(lan, "spares-others", f"{SERVER} init=/sbin/init {bootif}", **more) as machine:
        found = marks(machine)
    assert "10.99." in found["addresses"]
    assert "10.66." not in found["addresses"]
    assert mac_of("spares-others", 0) not in (lan.work / "other-leases").read_text()


def holds_network_manager(initramfs: Path) -> bool:
    said = subprocess.run(("lsinitramfs", str(initramfs)), capture_output=True, text=True, check=True).stdout
    return "usr/sbin/NetworkManager\n" in said


def test_dracut_obeys_panic_and_has_a_rescue_shell_and_takes_all_cards_if_none_is_bootifs(
    bench: Bench, lan: Lan
) -> None:
    cmdline, more = f"{SERVER} swarmboot.sever=x", {"initramfs": images.initramfs("dracut"), "memory": "768"}
    with (
        bench.boot(lan, "reboots", f"{cmdline} panic=1", **more) as reboots,
        bench.boot(lan, "stays", f"{cmdline} {NO_BOOTIF}", cards=("", "rack"), **more) as stays,
    ):
        for machine in (reboots, stays):
            machine.wait_for(r"unknown kernel argument swarmboot\.sever", within_s=BOOT_S)
        reboots.wait_for("rebooting in 1 s, as panic= says", within_s=PROMPT_S)
        reboots.process.wait(30)
        stays.wait_for("Press Enter for maintenance|Entering emergency mode", within_s=PROMPT_S)
        check_says_no_card(stays, cards=2)
