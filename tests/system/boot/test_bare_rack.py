"""Bare machines go from power-on to a booted Debian by themselves; the last takes stage 0 from a neighbour.

Stage 0 is what the hook built, the release is the sample's Debian, and one `swarmboot serve --pxe` does it all. There
are two machines in `make test`, and three in `make test-vm-all`, of which the first two start together.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.bare.rack import ADDRESS, RANGE, BareRack, bare_rack, mac
from tests.system.vm import images
from tests.system.vm.machine import EMULATED, Machine

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(900),
    pytest.mark.needs(
        "qemu-system-x86_64", "dnsmasq", "mkinitramfs", "busybox", "mksquashfs", "mmdebstrap", "curl",
        "/usr/lib/ipxe/undionly.kpxe",
    ),
]  # fmt: skip

BOOT_S = 300.0
END = "marker: end of it"


@dataclass(frozen=True, slots=True)
class BootedRack:
    """The rack after everything has booted."""

    rack: BareRack
    machines: tuple[Machine, ...]
    before: dict[str, Any]
    after: dict[str, Any]


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.vm_all)], ids=["two", "three"])
def booted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootedRack]:
    last, work = request.param + 1, tmp_path_factory.mktemp("debian")
    with ExitStack() as stack:
        rack = stack.enter_context(bare_rack(work / "rack"))
        site = publish_debian(work, images.fleet())
        images.fleet().state(rack.work / "state")
        rack.serve(site, "--pxe", "rack", "--dhcp-range", RANGE, "--stage0-trust", "lan")
        machines = []
        for number in range(1, last):
            machines.append(stack.enter_context(rack.power_on(f"machine{number}", memory="1024")))
        for machine in machines:
            machine.wait_for(END, within_s=BOOT_S)
        rack.wait_for_neighbours(within_s=BOOT_S)
        before = rack.status()["stage0"]
        machines.append(stack.enter_context(rack.power_on(f"machine{last}", memory="1024")))
        machines[-1].wait_for(END, within_s=BOOT_S)
        yield BootedRack(rack, tuple(machines), before, rack.status()["stage0"])


def publish_debian(work: Path, fleet: images.Fleet) -> Path:
    """Publish the sample's Debian with a kernel and an initramfs that trusts the fleet; return the site."""
    release = images.write_release(work / "release")
    shutil.copyfile(images.initramfs(), release / "initramfs.img")
    shutil.copyfile(images.debian_kernel().image, release / "vmlinuz")
    (release / "release.toml").write_text(f'name = "debian"\ncmdline = "console=ttyS0 {EMULATED}"\n')
    images.publish(release, site=work / "site", keys=fleet.keys)
    return work / "site"


def test_machines_without_disks_boot_debian_by_themselves(booted: BootedRack) -> None:
    for machine in booted.machines:
        marks = machine.marks()
        assert marks["root"] == "overlay"
        assert marks["seed"] == "active"


def test_the_last_machine_takes_kernel_and_initramfs_from_a_neighbour(booted: BootedRack) -> None:
    (line,) = [line for line in booted.rack.log if line.startswith(f"machine {mac(len(booted.machines))} loads from")]
    assert not line.endswith("loads from the server")
    assert booted.after["sent_bytes"] == booted.before["sent_bytes"]


def test_nobody_was_started_with_another_stage_0(booted: BootedRack) -> None:
    assert not [machine for machine in booted.machines if "another stage 0" in machine.console]


def test_the_machines_were_told_where_the_server_is(booted: BootedRack) -> None:
    assert f"swarmboot.server=https://{ADDRESS}:8470" in booted.machines[0].console
