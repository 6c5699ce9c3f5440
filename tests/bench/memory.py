"""The least memory that a machine really boots with, beside what `publish` says: `python -m tests.bench.memory [KIND]`.

As root, in QEMU: the sample's root image and two plugins, with the kernel and initramfs of the VM tests, KIND being
initramfs-tools (without it) or dracut, and `tar` after it for the same root as rootfs.tar.gz. The seed runs and all
services are up before a boot counts; a machine that runs out of memory panics, which ends it. Halves the interval from
two thirds of the estimate to the estimate until it is 24 MiB wide.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.system.vm import images
from tests.system.vm.cache import ROOT
from tests.system.vm.lan import NAME, Lan, open_lan
from tests.system.vm.machine import booting
from tests.system.vm.programs import SWARMBOOT, run

_STEP_MIB = 24
_BOOT_S = 600.0
_CMDLINE = f"swarmboot.server=https://{NAME}:8470 panic=1 sysctl.vm.panic_on_oom=1"


def estimate_mib(release: Path, site: Path, keys: Path) -> int:
    """Publish a release and return the memory that a node is said to need, in MiB."""
    said = run(*SWARMBOOT, "publish", str(release), "--site", str(site), "--key", str(keys / "swarmboot.key"), "--json")
    return int(json.loads(said)["ram_bytes"][""]) >> 20


def write_release(folder: Path, *, initramfs: Path, is_tar: bool) -> Path:
    """Write the release that boots."""
    release = images.write_release(folder)
    (release / "vmlinuz").hardlink_to(images.debian_kernel().image)
    (release / "initramfs.img").hardlink_to(initramfs)
    if is_tar:
        root = folder.parent / "root"
        run("unsquashfs", "-q", "-n", "-d", str(root), str(release / "rootfs.squashfs"))
        run("tar", "-C", str(root), "-czf", str(release / "rootfs.tar.gz"), ".")
        (release / "rootfs.squashfs").unlink()
    return release


def boots(lan: Lan, name: str, *, memory_mib: int, initramfs: Path) -> bool:
    """Return whether a machine with so much memory comes up."""
    kernel = images.debian_kernel().image
    memory = str(memory_mib)
    with booting(lan, name, kernel=kernel, initramfs=initramfs, cmdline=_CMDLINE, memory=memory) as machine:
        try:
            at_s = machine.wait_for("marker: end of it", within_s=_BOOT_S)
        except AssertionError:
            says = [line for _, line in machine.lines if "swarmboot:" in line or "panic" in line or "memory" in line]
            print(f"{memory_mib} MiB: does not boot; {says[-1] if says else ''}", flush=True)
            return False
    print(f"{memory_mib} MiB: boots, in {at_s:.0f} s", flush=True)
    return True


def main() -> None:
    """Measure and print."""
    kind = next(iter(sys.argv[1:]), "initramfs-tools")
    initramfs, fleet = images.initramfs(kind), images.fleet()
    with tempfile.TemporaryDirectory(prefix="swarmboot-memory.", dir=ROOT / ".cache") as folder:
        work = Path(folder)
        release = write_release(work / "release", initramfs=initramfs, is_tar="tar" in sys.argv[2:])
        said_mib = estimate_mib(release, work / "site", fleet.keys)
        print(f"{kind}: publish says {said_mib} MiB", flush=True)
        least, most, number = 2 * said_mib // 3, said_mib, 0
        with open_lan(work) as lan:
            lan.serve(work / "site", state=fleet.state(work / "state"))
            while most - least > _STEP_MIB:
                number += 1
                middle = most if number == 1 else (least + most) // 2
                if boots(lan, f"machine{number}", memory_mib=middle, initramfs=initramfs):
                    most = middle
                elif number == 1:
                    least, most = most, 2 * most
                else:
                    least = middle
        print(f"{kind}: {most} MiB boot, {least} MiB do not; publish says {said_mib} MiB")


if __name__ == "__main__":
    try:
        main()
    except subprocess.SubprocessError as error:
        sys.exit(str(error))
