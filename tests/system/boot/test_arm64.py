"""arm64 machines with 512 MB boot Debian 13 by one kernel argument: `make test-arm64`, half an hour the first time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.vm import arm64, images
from tests.system.vm.lan import NAME, Lan, open_lan
from tests.system.vm.machine import ARM64, OWN_CLOCK, Machine, booting
from tests.system.vm.programs import PROMPT_S, SWARMBOOT, run

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(7200),
    pytest.mark.needs("qemu-system-aarch64", "qemu-aarch64-static", "update-binfmts", "dnsmasq", "mksquashfs"),
]

BOOT_S = 2400.0
MEMORY_MB = "512"
END = "marker: end of it"
CMDLINE = f"swarmboot.server=https://{NAME}:8470"
"""Without clearing every page: emulation is so slow at it that systemd's generators come to a halt in the kernel."""

UPLINK = "20mbit"
"""So scarce that the first machine is the better source: an emulated one's clock is slow beside the seeder's."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What the tests share: an initramfs that was built in an arm64 Debian, and a LAN with a seeder."""

    debian: arm64.Arm64
    initramfs: Path
    is_runtime_new: bool
    said: list[str]
    lan: Lan
    digest: str
    stack: ExitStack

    def boot(self, name: str) -> Machine:
        """Power on a machine that runs until the last test is over, and return it once it has booted."""
        machine = self.stack.enter_context(
            booting(
                self.lan, name, kernel=self.debian.kernel, initramfs=self.initramfs, cmdline=CMDLINE,
                memory=MEMORY_MB, board=ARM64, more=OWN_CLOCK,
            )
        )  # fmt: skip
        machine.wait_for(END, within_s=BOOT_S)
        return machine


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    work = tmp_path_factory.mktemp("arm64")
    debian, fleet = arm64.debian(), images.fleet()
    is_runtime_new = arm64.forget_runtime(debian)
    said = arm64.initramfs(debian, work / "initramfs.img")
    print("\n" + "\n".join(said))
    images.publish(arm64.write_release(work / "release", debian), site=work / "site", keys=fleet.keys)
    digest = hashlib.sha256(debian.root.read_bytes()).hexdigest()
    with ExitStack() as stack:
        lan = stack.enter_context(open_lan(work / "lan"))
        lan.serve(work / "site", state=fleet.state(work / "state"), uplink=UPLINK)
        yield Bench(debian, work / "initramfs.img", is_runtime_new, said, lan, digest, stack)


@pytest.fixture(scope="module")
def first(bench: Bench) -> Machine:
    """The first machine, booted."""
    return bench.boot("machine1")


@pytest.fixture(scope="module")
def second(bench: Bench, first: Machine) -> Machine:
    """The second machine, booted beside the first."""
    return bench.boot("machine2")


def share_from_neighbours(machine: Machine) -> float:
    source = json.loads(machine.marks()["report"])["bytes_from"]
    return float(source["neighbours"] / (source["neighbours"] + source["origin"]))


def check(machine: Machine, bench: Bench) -> None:
    """Check what the marker inside the booted system says, and print what the machine's memory was like."""
    marks = machine.marks()
    print(f"\n{machine.name}: {marks['memory']}; seed {marks['seed_memory']}; {marks['report']}")
    assert marks["machine"] == "aarch64"
    assert marks["root"] == "overlay"
    assert marks["image"] == bench.digest
    assert marks["seed"] == "active"
    assert marks["user"] != "root"
    assert marks["restarts"] == "0"
    machine.wait_for("login:", within_s=PROMPT_S)


def test_the_initramfs_is_built_and_its_runtime_tested_by_arm64_programs(bench: Bench) -> None:
    words = "\n".join(bench.said)
    assert ("self-test: last_piece" in words) == bench.is_runtime_new
    assert re.search(r"initramfs: .* for kernel .* on arm64", words)


def test_a_runtime_for_amd64_does_not_go_into_an_arm64_system(bench: Bench, tmp_path: Path) -> None:
    amd64 = tmp_path / "runtime.squashfs"
    amd64.write_bytes(b"hsqs")
    amd64.with_suffix(".libraries").write_text("/lib/x86_64-linux-gnu/libc.so.6\n/lib64/ld-linux-x86-64.so.2\n")
    into = ("--initramfs-tools", "--root", str(bench.debian.tree))
    with pytest.raises(AssertionError, match=r"another machine type.*expected arm64, found x86-64"):
        run(*SWARMBOOT, "hook", "install", *into, "--runtime", str(amd64), "--trust", str(images.fleet().trust))
    assert not (bench.debian.tree / "etc/swarmboot").exists()


def test_an_arm64_machine_with_512_mb_boots_from_the_origin(bench: Bench, first: Machine) -> None:
    check(first, bench)
    assert share_from_neighbours(first) == 0.0


def test_a_second_arm64_machine_takes_nine_tenths_from_the_first(bench: Bench, second: Machine) -> None:
    check(second, bench)
    assert share_from_neighbours(second) >= 0.9
