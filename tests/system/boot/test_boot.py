"""Machines without disks boot a published release by one kernel argument: from the origin, from each other, or not.

The machines run two at a time, because emulation needs a core each; what one run can show is asserted in several tests.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seeder.initramfs.kernel import read_kernel
from seeder.publish.check.memory import Boot
from seeder.publish.check.readers.initramfs import read_initramfs
from tests.support.waiting import wait_for_line, wait_until
from tests.system.vm import images
from tests.system.vm.lan import ADDRESS, NAME, Lan, open_lan
from tests.system.vm.machine import Machine, booting, mac_of
from tests.system.vm.programs import PROMPT_S, SWARMBOOT, run, running

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(900),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "mkinitramfs", "busybox", "mksquashfs", "mmdebstrap"),
]

BOOT_S = 300.0
DWARF_MIB = 224
"""So little that a machine is refused before it fetches, and enough to unpack what it starts from."""
READY = "the root is ready after"
END = "marker: end of it"
ONE_ARGUMENT = f"swarmboot.server=https://{NAME}:8470"
NAMED = "machine1"
GROWTH_MAX_BYTES = 10_000_000
BESIDE_RUNTIME_MAX_BYTES = 6_650_000
"""With the runtime that `build-runtime` makes, in xz, that is an initramfs of at most 15.1 MB."""

BUILD_S = 600.0
"""Longer than an initramfs takes to build: its clock is set at the beginning."""

UPLINK = "50mbit"
"""So scarce that an emulated neighbour is the better source: it delivers some 10 MB/s."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all tests here share: a published release, an initramfs, a LAN, and one for those with bad neighbours."""

    work: Path
    kernel: images.Kernel
    fleet: images.Fleet
    initramfs: Path
    stack: ExitStack
    lan: Lan
    beset_lan: Lan
    digest: str

    def boot(self, lan: Lan, name: str, **more: Any) -> Machine:
        """Power on a machine that runs until the last test is over."""
        return self.stack.enter_context(self.borrow(lan, name, **more))

    def borrow(self, lan: Lan, name: str, **more: Any) -> AbstractContextManager[Machine]:
        """Return a machine to power on for a block."""
        more = {"initramfs": self.initramfs, "cmdline": ONE_ARGUMENT, **more}
        return booting(lan, name, kernel=self.kernel.image, **more)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    work = tmp_path_factory.mktemp("vm")
    fleet, site = images.fleet(), work / "site"
    images.publish(with_nodes(images.write_release(work / "release", is_whole=True)), site=site, keys=fleet.keys)
    with ExitStack() as stack:
        lans = []
        for name in ("lan", "beset-lan"):
            (work / name).mkdir()
            lans.append(stack.enter_context(open_lan(work / name)))
            lans[-1].seeders.append(lans[-1].serve(site, state=fleet.state(work / name / "state"), uplink=UPLINK))
        digest = hashlib.sha256((work / "release/rootfs.squashfs").read_bytes()).hexdigest()
        lan, beset_lan = lans
        yield Bench(work, images.debian_kernel(), fleet, images.initramfs(), stack, lan, beset_lan, digest)


def with_nodes(release: Path) -> Path:
    """Give a release a file for every node, with what differs between them in it, and one of them a name."""
    (release / "nodes/default/etc").mkdir(parents=True)
    (release / "nodes/default/etc/node.tmpl").write_text("{mac} {address} in {rack}|")
    (release / "nodes/hosts.csv").write_text(f"mac;name;rack\r\n{mac_of(NAMED)};web-1;r12\r\n")
    (release / "release.toml").write_text('hostname = "node-{mac_dashes}"\n')
    return release


def check_own(machine: Machine) -> None:
    """Check what a machine has in its root for itself, and that its name is its own and leads to itself."""
    mac = mac_of(machine.name)
    name, rack = ("web-1", "r12") if machine.name == NAMED else (f"node-{mac.replace(':', '-')}", "")
    node, _, rest = machine.marks()["own"].partition("|")
    assert re.fullmatch(rf"{mac} 10\.99\.[0-9.]+ in {rack}", node)
    assert rest.split()[:1] == [name]
    assert rest.split()[1:] in ([], ["127.0.1.1", name])


def report_of(machine: Machine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.marks()["report"])
    return found


def share_from_neighbours(machine: Machine) -> float:
    source = report_of(machine)["bytes_from"]
    return float(source["neighbours"] / (source["neighbours"] + source["origin"]))


def check_root(machine: Machine, bench: Bench) -> None:
    """Check what the marker inside the booted system says of its root."""
    marks = machine.marks()
    assert marks["root"] == "overlay"
    assert marks["plugin"] == "booted by a rack"
    assert marks["motd"] == "gone"
    assert marks["environment"] == 'MOTTO="two words" SITE=sample'
    assert marks["image"] == bench.digest
    assert marks["seed"] == "active"
    assert marks["user"] != "root"
    assert marks["rights"] == f"CapPrm:{0:016x} CapBnd:{0:016x} NoNewPrivs:1 Seccomp:2"
    assert marks["restarts"] == "0"
    check_own(machine)


def tell_phases(machine: Machine) -> None:
    """Print how long each phase of a boot took."""
    report = report_of(machine)
    kernel_s = machine.wait_for("Run /init as init process|Run /init", within_s=1)
    ready_s, end_s = machine.wait_for(READY, within_s=1), machine.wait_for(END, within_s=1)
    phases = "  ".join(f"{name} {seconds:.1f}" for name, seconds in report["phases"].items())
    sources = "  ".join(f"{name} {count / 1e6:.1f} MB" for name, count in report["bytes_from"].items())
    print(
        f"\n{machine.name}: kernel {kernel_s:.1f}  {phases}  root ready at {ready_s:.1f}  end {end_s:.1f} s; {sources}"
    )


@pytest.fixture(scope="module")
def first(bench: Bench) -> Machine:
    """Machine 1, booted. It has a second card that leads nowhere."""
    machine = bench.boot(bench.lan, "machine1", cards=("", "rack"))
    machine.wait_for(END, within_s=BOOT_S)
    tell_phases(machine)
    return machine


def test_the_initramfs_grows_by_at_most_ten_megabytes(bench: Bench) -> None:
    base = images.base_initramfs(bench.work / "base.img", kernel=bench.kernel)
    whole = images.build_initramfs(
        bench.work / "whole.img", kernel=bench.kernel, trust=images.fleet().trust, authority=images.fleet().authority,
        runtime=images.runtime_image(), is_lean=False,
    )  # fmt: skip
    growth_bytes = whole.stat().st_size - base.stat().st_size
    print(f"\nthe initramfs grows by {growth_bytes / 1e6:.2f} MB")
    assert growth_bytes <= GROWTH_MAX_BYTES


def test_the_lean_initramfs_is_no_larger_beside_its_runtime_than_it_was(bench: Bench) -> None:
    size_bytes = bench.initramfs.stat().st_size - images.runtime_image().stat().st_size
    print(f"\nthe initramfs weighs {size_bytes / 1e6:.2f} MB beside its runtime")
    assert size_bytes <= BESIDE_RUNTIME_MAX_BYTES


def test_a_machine_boots_from_the_origin_alone_by_one_kernel_argument(bench: Bench, first: Machine) -> None:
    check_root(first, bench)
    assert share_from_neighbours(first) == 0.0
    first.wait_for("login:", within_s=PROMPT_S)


@pytest.fixture(scope="module")
def second(bench: Bench, first: Machine) -> Machine:
    """Machine 2, and beside it, one after the other, those that must not boot."""
    machine = bench.boot(bench.lan, "machine2")
    for name, cmdline, memory, line in (
        ("stranger", "swarmboot.server=https://10.99.0.1:8471 swarmboot.discovery=off", "768",
         "expected a signature|needs .* signature|signed by|trusted key"),
        ("dwarf", ONE_ARGUMENT, str(DWARF_MIB), "this node has too little RAM"),
        ("misspelt", f"{ONE_ARGUMENT} swarmboot.profil=gpu", "768", "unknown kernel argument swarmboot.profil"),
    ):  # fmt: skip
        refuse(bench, name, cmdline=cmdline, memory=memory, line=line)
    machine.wait_for(END, within_s=BOOT_S)
    tell_phases(machine)
    return machine


REFUSALS: dict[str, str] = {}


def refuse(bench: Bench, name: str, *, cmdline: str, memory: str, line: str) -> None:
    """Boot a machine that must stop, and keep what its console said."""
    if name == "stranger":
        other = bench.work / "other-fleet"
        images.publish(bench.work / "release", site=other / "site", keys=other / "keys")
        bench.lan.serve(other / "site", state=bench.fleet.state(other / "state"), port=8471)
    with bench.borrow(bench.lan, name, cmdline=f"{cmdline} panic=1", memory=memory) as machine:
        machine.wait_for(line, within_s=BOOT_S)
        machine.wait_for("no root; the lines above say why", within_s=PROMPT_S)
        machine.wait_for("Rebooting automatically due to panic=", within_s=PROMPT_S)
        REFUSALS[name] = machine.console


def test_a_second_machine_takes_nine_tenths_from_the_first(bench: Bench, second: Machine) -> None:
    check_root(second, bench)
    assert share_from_neighbours(second) >= 0.9


def test_a_system_that_has_come_up_says_so_itself_under_its_boots_own_id(bench: Bench, second: Machine) -> None:
    log, mac = bench.lan.work / "seeder-8470.log", mac_of(second.name)
    verified = wait_for_line(log, rf"{mac}.*\) images verified in ", within_s=PROMPT_S)
    boot = re.search(r"boot [0-9a-f]{8}\)", verified)
    assert boot is not None
    wait_for_line(log, rf"{mac}.* {re.escape(boot[0])} booted .* after its kernel started", within_s=BOOT_S)
    booted = [line for line in log.read_text().splitlines() if mac in line and " booted " in line]
    assert len(booted) == 1, booted


def test_what_kernels_and_the_hook_say_reaches_the_seeder_of_boots_that_succeed_and_that_fail(
    bench: Bench, second: Machine
) -> None:
    state = bench.work / "lan" / "state"

    def said(name: str) -> str:
        return run(*bench.lan.inside, *SWARMBOOT, "logs", mac_of(name), "--state", str(state))

    def wait_for(name: str, *patterns: str) -> None:
        for pattern in patterns:
            wait_until(
                f"{pattern} of {name}", lambda pattern=pattern: re.search(pattern, said(name)),  # type: ignore[misc]
                within_s=PROMPT_S, every_s=2.0, seen=lambda: said(name),
            )  # fmt: skip

    wait_for(
        second.name, r"kernel notice Linux version", r"kernel info Run /init as init process",
        r"swarmboot info an address after", r"swarmboot info the root is ready after",
        r"system [a-z]+ systemd\[1\]: ", r"swarmboot info complete; seeding",
    )  # fmt: skip
    assert said(second.name).count("Linux version") == 1
    wait_for(
        "dwarf", r"kernel notice Linux version", r"swarmboot info .*too little RAM", r"swarmboot info stopped: .*61"
    )


@pytest.mark.parametrize(
    ("name", "status"), [("stranger", "status 1[0-9]"), ("dwarf", "status 61"), ("misspelt", "status 41")]
)
def test_a_machine_that_must_not_boot_says_why_on_its_console(second: Machine, name: str, status: str) -> None:
    assert re.search(rf"swarmboot: stopped: .*{status}", REFUSALS[name])
    assert READY not in REFUSALS[name]


def test_publish_counts_the_memory_that_a_machine_asks_for(bench: Bench, second: Machine) -> None:
    size = r"([0-9.]+) (MiB|KiB|B)"
    wanted = rf"expected {size}(?:, {size} to unpack them)? and {size} to spare, found {size}"
    said = re.search(wanted, REFUSALS["dwarf"])
    assert said is not None, REFUSALS["dwarf"]
    sizes = [
        float(number or 0) * {"MiB": 1, "KiB": 2**-10, "B": 2**-20}.get(unit, 0)
        for number, unit in zip(said.groups()[::2], said.groups()[1::2], strict=True)
    ]
    image_mib, unpacked_mib, reserve_mib, found_mib = sizes
    asked_mib = DWARF_MIB + image_mib + unpacked_mib + reserve_mib - found_mib
    kernel = read_kernel(bench.kernel.image, label="vmlinuz")
    inside = read_initramfs(bench.initramfs, label="initramfs.img")
    packed_bytes = bench.initramfs.stat().st_size
    boot = Boot(kernel.memory_bytes, packed_bytes, inside.unpacked_bytes, inside.runtime_bytes)
    told_mib = boot.needed_bytes(*(int(each * 2**20) for each in sizes[:3])) / 2**20
    print(f"\na machine of {DWARF_MIB} MiB asks for {asked_mib:.1f} MiB; publish says {told_mib:.1f} MiB")
    assert 0.97 < told_mib / asked_mib < 1.15


def test_a_refusal_reaches_the_seeder(bench: Bench, second: Machine) -> None:
    log = (bench.lan.work / "seeder-8470.log").read_text()
    assert "too little RAM" in log
    assert "unknown kernel argument swarmboot.profil" in log


@pytest.mark.vm_all
def test_a_machine_boots_with_dracut_in_place_of_initramfs_tools(bench: Bench) -> None:
    initramfs = images.initramfs("dracut")
    with bench.borrow(bench.beset_lan, "dracut", initramfs=initramfs, memory="1024") as machine:
        machine.wait_for(END, within_s=BOOT_S)
        tell_phases(machine)
        check_root(machine, bench)
        machine.wait_for("MiB of .* from the origin", within_s=1)


@dataclass(frozen=True, slots=True)
class Troubled:
    """Machine 3, which has no seeder and no clock, and one on the other LAN that is beset by bad neighbours."""

    third: Machine
    beset: Machine


@pytest.fixture(scope="module")
def troubled(bench: Bench, first: Machine, second: Machine) -> Iterator[Troubled]:
    """Power both on once machines 1 and 2 are neighbours, and let one of the bad neighbours die in mid-transfer."""
    (seeder,) = bench.lan.seeders
    seeder.terminate()
    seeder.wait(20)
    with ExitStack() as stack:
        liar = stack.enter_context(neighbour(bench, bench.beset_lan, "10.99.0.11"))
        dying = stack.enter_context(neighbour(bench, bench.beset_lan, "10.99.0.12", "--up", "20mbit"))
        corrupt(liar.images / "rootfs.squashfs")
        third = stack.enter_context(bench.borrow(bench.lan, "machine3", clock="1970-01-01"))
        beset = stack.enter_context(bench.borrow(bench.beset_lan, "beset"))
        beset.wait_for(r"[1-9][0-9.]* MiB of .*[1-9][0-9.]* MiB from neighbours", within_s=BOOT_S)
        dying.process.kill()
        yield Troubled(third, beset)


def test_machines_boot_from_neighbours_when_the_seeder_has_stopped_and_the_clock_says_1970(
    bench: Bench, troubled: Troubled
) -> None:
    machine = troubled.third
    machine.wait_for("the clock says 1970-01-01, before this initramfs was built; set to", within_s=BOOT_S)
    machine.wait_for(END, within_s=BOOT_S)
    tell_phases(machine)
    check_root(machine, bench)
    assert share_from_neighbours(machine) == 1.0
    assert float(machine.marks()["clock"]) > bench.initramfs.stat().st_mtime - BUILD_S


def test_a_machine_boots_beside_a_neighbour_that_corrupts_and_one_that_dies(bench: Bench, troubled: Troubled) -> None:
    machine = troubled.beset
    machine.wait_for(END, within_s=BOOT_S)
    tell_phases(machine)
    check_root(machine, bench)
    report = report_of(machine)
    assert report["hash_failures"] > 0
    assert report["bytes_from"]["neighbours"] > 0


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A leecher of this source tree on the LAN, complete and seeding."""

    process: subprocess.Popen[bytes]
    images: Path


@contextmanager
def neighbour(bench: Bench, lan: Lan, address: str, *more: str) -> Iterator[Neighbour]:
    folder, log = bench.work / address, bench.work / f"{address}.log"
    lan.add_address(address)
    command = (
        *lan.inside, sys.executable, "-m", "leecher", "--server", f"https://{ADDRESS}:8470", "--trust",
        str(bench.fleet.trust), "--ca", str(bench.fleet.authority), "--into", str(folder),
        "--bind", address, "--linger", *more,
    )  # fmt: skip
    with running(*command, log=log) as process:
        wait_for_line(log, "complete; seeding", within_s=PROMPT_S)
        yield Neighbour(process, folder)


def corrupt(image: Path) -> None:
    """Change a byte in every 64 KiB of an image that is being seeded."""
    with image.open("r+b") as file:
        for position in range(0, image.stat().st_size, 1 << 16):
            file.seek(position)
            byte = file.read(1)
            file.seek(position)
            file.write(bytes([byte[0] ^ 1]))
