"""Debian 13 and sid, with initramfs-tools and with dracut: nodes boot from what docs/boot.md has one make there.

One boot, of Debian 13 with dracut, is in `make test`; every case on every ground is in `make test-vm-all`, because a
fresh debootstrap of two suites takes minutes and sid moves. The machines run two at a time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.vm.grounds import GENERATORS, ground
from tests.system.vm.machine import Machine, mac_of
from tests.system.vm.matrix import (
    BOOT_S,
    CARDS,
    DHCP_NAMES,
    END,
    PLUGINS,
    Bench,
    after_s,
    open_bench,
    share_from_neighbours,
)
from tests.system.vm.programs import PROMPT_S

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(3600),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "busybox", "mksquashfs", "mmdebstrap"),
]

SUITES = ("trixie", "sid")
RUNTIME_MAX_BYTES = {"trixie": 9_700_000, "sid": 11_000_000}
LEAN_MAX_BYTES = {
    ("trixie", "initramfs-tools"): 19_000_000, ("trixie", "dracut"): 22_500_000,
    ("sid", "initramfs-tools"): 20_800_000, ("sid", "dracut"): 25_800_000,
}  # fmt: skip
DEARER_MAX_S = 5.0
"""What a second card may cost, by the machine's own clock."""


def open_ground(work: Path, suite: str, generator: str) -> Iterator[Bench]:
    with open_bench(ground(suite, generator, is_lean=True), work / f"{suite}-{generator}") as bench:
        yield bench


@pytest.fixture(
    scope="module",
    params=[(suite, generator) for suite in SUITES for generator in GENERATORS],
    ids=lambda pair: "-".join(pair),
)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    suite, generator = request.param
    yield from open_ground(tmp_path_factory.mktemp("ground"), suite, generator)


def check_root(machine: Machine) -> None:
    """Check what the marker says of a suite's own root, and that its neighbour seeds without any right."""
    machine.wait_for(END, within_s=BOOT_S)
    assert re.search("MiB of .* MiB", machine.console)
    marks = machine.marks()
    assert marks["root"] == "overlay"
    assert marks["plugin"] == "booted by a rack"
    assert marks["seed"] == "active"
    assert marks["user"] != "root"
    assert marks["rights"] == f"CapPrm:{0:016x} CapBnd:{0:016x} NoNewPrivs:1 Seccomp:2"
    assert marks["restarts"] == "0"
    machine.wait_for("login:", within_s=PROMPT_S)


def check_tiny(machine: Machine) -> str:
    """Check what the tiny root says of itself and return its addresses."""
    machine.wait_for(END, within_s=BOOT_S)
    marks = machine.marks()
    assert (marks["root"], marks["plugins"], marks["written"]) == ("overlay", str(PLUGINS), "new")
    return marks["addresses"]


@pytest.mark.vm
def test_debian_13_boots_to_a_login_with_dracut(tmp_path: Path) -> None:
    with (
        open_bench(ground("trixie", "dracut", is_quick=True), tmp_path / "dracut") as bench,
        bench.boot("first") as machine,
    ):
        check_root(machine)


@pytest.mark.vm_all
def test_the_runtime_is_no_larger_than_it_was(bench: Bench) -> None:
    assert int(bench.ground.facts["runtime"]) <= RUNTIME_MAX_BYTES[bench.ground.suite]


@pytest.mark.vm_all
def test_the_lean_initramfs_is_no_larger_than_it_was(bench: Bench) -> None:
    assert bench.ground.initramfs.stat().st_size <= LEAN_MAX_BYTES[bench.ground.suite, bench.ground.generator]


@pytest.mark.vm_all
def test_a_node_boots_to_a_login_and_the_next_takes_nine_tenths_from_it(bench: Bench) -> None:
    """The first has the initramfs that an update of its own would make, the second the lean one."""
    with bench.boot("first", initramfs=ground(bench.ground.suite, bench.ground.generator).initramfs) as first:
        check_root(first)
        with bench.boot("second") as second:
            check_root(second)
            share = share_from_neighbours(second)
    bench.seen["second node from neighbours"] = f"{share:.0%}"
    assert share >= 0.9
    for name, called in DHCP_NAMES.items():
        assert len(bench.leases_of(mac_of(name))) == 1
        assert re.search(rf"\({called}, {mac_of(name)}, [^)]*\) images verified", bench.seeder_said())


@pytest.mark.vm_all
def test_a_node_goes_on_before_all_of_its_root_is_there_and_keeps_it_when_it_is(bench: Bench) -> None:
    """Nothing is baked in: these kernels have FUSE built in."""
    with bench.boot("lazy", "swarmboot.lazy=on") as machine:
        machine.wait_for("the root is ready after .* the rest of it arrives", within_s=BOOT_S)
        machine.wait_for("all is there; its files took the place", within_s=BOOT_S)
        check_root(machine)
        marks = machine.marks()
    assert marks["fuse"] == ""
    assert marks["image"] == hashlib.sha256(bench.ground.root_image.read_bytes()).hexdigest()


@pytest.mark.vm_all
def test_a_second_card_without_an_address_costs_at_most_five_seconds(bench: Bench) -> None:
    took_s: dict[str, float] = {}
    names = list(CARDS)
    for pair in (names[:2], names[2:]):
        with ExitStack() as stack:
            machines = {
                name: stack.enter_context(bench.boot_tiny(name.replace(" ", "-"), cards=CARDS[name])) for name in pair
            }
            for name, machine in machines.items():
                check_tiny(machine)
                took_s[name] = after_s(machine)
    bench.seen.update({name: f"{seconds:.1f} s" for name, seconds in took_s.items()})
    print(took_s)
    assert all(took_s[name] - took_s["one card"] <= DEARER_MAX_S for name in names), took_s


@pytest.mark.vm_all
def test_bootif_spares_the_other_networks_server_and_a_fixed_address_is_kept(bench: Bench) -> None:
    cards = ("other", "rack")
    named = {name: f"BOOTIF=01-{mac_of(name, 1).replace(':', '-')}" for name in ("bootif", "fixed")}
    fixed = ("ip=10.99.0.77::10.99.0.1:255.255.255.0:node:eth1:none:10.99.0.1", "nameserver=10.99.0.1")
    with (
        bench.boot_tiny("bootif", "ip=dhcp", named["bootif"], cards=cards) as first,
        bench.boot_tiny("fixed", *fixed, named["fixed"], cards=cards) as second,
    ):
        assert "10.99." in check_tiny(first)
        assert "10.99.0.77/24" in check_tiny(second)
        bench.seen["BOOTIF="], bench.seen["ip= fixed"] = (f"{after_s(machine):.0f} s" for machine in (first, second))
    assert mac_of("bootif", 0) not in (bench.lan.work / "other-leases").read_text()


@pytest.mark.vm_all
def test_a_kernel_update_keeps_swarmboot_in_the_initramfs(bench: Bench) -> None:
    installed = ground(bench.ground.suite, bench.ground.generator)
    chroot, version = installed.chroot, installed.facts["kernel"]
    script = "rm /boot/initrd.img-$1; dpkg-reconfigure linux-image-$1 >&2; lsinitramfs /boot/initrd.img-$1"
    said = chroot.run("sh", "-ec", script, "sh", version)
    borrowed = chroot.run("cat", "/usr/lib/swarmboot/runtime.libraries").split()
    expected = {"driver.sh", "runtime.squashfs", "fleet.pub", *(Path(library).name for library in borrowed)}
    assert expected <= {Path(line).name for line in said.splitlines()}
    bench.seen["kernel update"] = "kept"
