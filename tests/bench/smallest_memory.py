"""The least RAM that boots a release, beside what `publish` says, as root.

    python -m tests.bench.smallest_memory SUITE GENERATOR MB...

For each size MB of a root image it publishes a release with the ground's kernel and initramfs, boots machines of ever
closer sizes, and prints a Markdown table with the least that booted, to STEP_MIB, and what stopped the next smaller
one. A size that `publish` calls enough and that does not boot is the fault to look for.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.system.vm import images, roots
from tests.system.vm.grounds import Ground, ground
from tests.system.vm.lan import NAME, Lan, open_lan
from tests.system.vm.machine import booting
from tests.system.vm.programs import SWARMBOOT, run

STEP_MIB = 8
_BOOT_S = 600.0
_END = "marker: end of it"
_STOPPED = r"swarmboot: stopped|Kernel panic|Out of memory|no root; the lines above"
_CMDLINE = f"swarmboot.server=https://{NAME}:8470 init=/sbin/init panic=-1"
_WHY = re.compile(r"Kernel panic.*|Initramfs unpacking failed.*|Out of memory.*|this node has too little RAM.*|"
                  r"the tmpfs at .*too small.*|No space left.*")  # fmt: skip


def boots(lan: Lan, of: Ground, memory_mib: int) -> str:
    """Boot a machine of so much RAM; return nothing if its root came up, else what stopped it."""
    name = f"of-{memory_mib}"
    with booting(
        lan, name, kernel=of.kernel, initramfs=of.initramfs, cmdline=_CMDLINE, memory=str(memory_mib)
    ) as machine:
        try:
            machine.wait_for(f"{_END}|{_STOPPED}", within_s=_BOOT_S)
        except AssertionError:
            return _why(machine.console)
        return "" if _END in machine.console else _why(machine.console)


def _why(console: str) -> str:
    found = _WHY.search(console)
    return found[0] if found else "it ended or hung without a word"


def measure(of: Ground, image_mb: int, work: Path) -> str:
    """Return a row of the table for a root image of so many megabytes."""
    fleet, release = images.fleet(), work / "release"
    release.mkdir(parents=True)
    roots.write_tiny_root(release / "rootfs.squashfs", work=work / "tree", padding_bytes=image_mb * 1_000_000)
    shutil.copyfile(of.kernel, release / "vmlinuz")
    shutil.copyfile(of.initramfs, release / "initramfs.img")
    key = str(fleet.keys / "swarmboot.key")
    said = run(*SWARMBOOT, "publish", str(release), "--site", str(work / "site"), "--key", key, "--json")
    (told_bytes,) = set(json.loads(said)["ram_bytes"].values())
    told_mib = told_bytes / 2**20
    too_little, enough, why = int(told_mib * 0.8), int(told_mib * 1.2), ""
    with open_lan(work / "lan") as lan:
        lan.serve(work / "site", state=fleet.state(work / "state"))
        while enough - too_little > STEP_MIB:
            tried = (too_little + enough) // 2
            stopped = boots(lan, of, tried)
            print(f"{tried} MiB: {stopped or 'boots'}", file=sys.stderr, flush=True)
            if stopped:
                too_little, why = tried, stopped
            else:
                enough = tried
    return f"| {image_mb} MB | {told_mib:.0f} MiB | {enough} MiB | {told_mib / enough - 1:+.0%} | {why} |"


def main(suite: str, generator: str, sizes_mb: list[int]) -> None:
    """Print the table of a ground."""
    of = ground(suite, generator)
    print(f"| {suite}, {generator}: root image | publish says | the least that booted | | what stops a smaller one |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size_mb in sizes_mb:
            print(measure(of, size_mb, Path(folder) / str(size_mb)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(word) for word in sys.argv[3:]])
