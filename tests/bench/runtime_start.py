"""How long the leecher takes to start from its image: `python -m tests.bench.runtime_start VMLINUZ INITRAMFS`, as root.

Takes the runtime image of an initramfs, packs it in several ways, and starts Python from each on a machine whose clock
counts its instructions, a thousand million to the second: a slow core, whatever else the host does. Prints a Markdown
table: the sizes, what everything takes that a node loads until it is about to fetch, and the same once more, when
nothing is left to unpack. mksquashfs takes some minutes, the machine ten.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from seeder.hook.finished_tree import options_of, pack, read_order
from seeder.initramfs.groups import RUNTIME
from seeder.initramfs.lean import pack as pack_initramfs
from seeder.initramfs.links import follow
from seeder.initramfs.tree import Unpacked, unpack
from tests.system.vm.machine import EMULATED, OWN_CLOCK, PC

_BOUND_S = 3600
_PLAIN = ("-noI", "-noId", "-noD", "-noF")
_WAYS = {
    "xz, in mksquashfs's own order": (options_of("xz"), False),
    "xz, in the order of reading": (options_of("xz"), True),
    "the same, blocks of 256 KiB": ((*options_of("xz"), "-b", "256K"), True),
    "the same, blocks of 128 KiB": ((*options_of("xz"), "-b", "128K"), True),
    "the same, blocks of 1 MiB and no fragments": ((*options_of("xz"), "-no-fragments"), True),
    "zstd, in mksquashfs's own order": (options_of("zstd"), False),
    "zstd, in the order of reading": (options_of("zstd"), True),
    "not compressed": ((*_PLAIN, "-b", "1M"), True),
}
"""Options of mksquashfs, and whether what is read comes first."""
_LOAD = (
    "import leecher.initramfs.__main__ as node; node.lean_start.import_trio(); "
    "import leecher.boot.run, leecher.initramfs.root"
)
_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
mkdir -p /proc /sys /dev /run /ram /image
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in loop squashfs; do modprobe -q $module; done
mount -t tmpfs -o size=90% ram /ram
mkdir -p /ram/swarmboot/lib /ram/swarmboot/etc
while read -r library; do cp -L "$library" /ram/swarmboot/lib/; done </usr/lib/swarmboot/runtime.libraries
start() { chroot /image /usr/bin/python3 -I -S -B -c "$load"; }
now() { read -r up _ </proc/uptime; echo "$up"; }
for way in 0 $ways; do # what only the first one pays is not counted
    cp "/ways/$way" /ram/image
    began=$(now)
    mount -t squashfs -o loop,ro /ram/image /image
    mount --bind /ram /image/run
    mount --bind /proc /image/proc
    mount --bind /dev /image/dev
    start
    first=$(now)
    start
    echo "result: $way $began $first $(now)"
    umount /image/dev /image/proc /image/run /image
done
echo b >/proc/sysrq-trigger
"""


def images(unpacked: Unpacked, folder: Path) -> list[Path]:
    """Return the runtime image of an initramfs, packed in all WAYS."""
    tree, listed = folder / "runtime", follow(unpacked.tree, RUNTIME).with_suffix(".libraries").read_text()
    subprocess.run(("unsquashfs", "-quiet", "-no-progress", "-d", tree, unpacked.path(RUNTIME)), check=True)
    borrowed = []
    for name in listed.splitlines():
        borrowed.append(folder / Path(name).name)  # as the driver has it: a link's name, what the link leads to
        shutil.copyfile(follow(unpacked.tree, name), borrowed[-1])
        borrowed[-1].chmod(0o755)
    read = read_order(tree, borrowed)
    found = []
    for number, (options, is_sorted) in enumerate(_WAYS.values()):
        found.append(folder / f"{number}.squashfs")
        pack(tree, found[-1], options, read if is_sorted else ())
    return found


def starts(kernel: Path, unpacked: Unpacked, packed: list[Path], folder: Path) -> list[tuple[float, float]]:
    """Return what each image took on one machine, in seconds by its own clock: the first start, and the second."""
    init, initramfs = folder / "init", folder / "initramfs.img"
    init.write_text(f"#!/bin/sh\nload='{_LOAD}'\nways='{' '.join(map(str, range(len(packed))))}'\n{_INIT}")
    unpacked.put("measure", init)
    unpacked.entries["measure"] = replace(unpacked.entries["measure"], mode=0o755)
    for number, image in enumerate(packed):
        unpacked.put(f"ways/{number}", image)
    initramfs.write_bytes(pack_initramfs(unpacked, "gzip", beside=[f"ways/{n}" for n in range(len(packed))]))
    command = (
        *PC.program, "-accel", "tcg", *OWN_CLOCK, "-m", "2048", "-display", "none", "-nodefaults", "-no-reboot",
        "-serial", "stdio", "-kernel", str(kernel), "-initrd", str(initramfs), "-append",
        f"console={PC.console} panic=-1 quiet rdinit=/measure {EMULATED}",
    )  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_BOUND_S)
    console = done.stdout.decode(errors="replace")
    said = [line.partition("result: ")[2].split() for line in console.splitlines() if "result: " in line]
    assert len(said) == len(packed) + 1, console
    times = [tuple(map(float, words[1:])) for words in said[1:]]
    return [(first - began, second - first) for began, first, second in times]


def main(kernel: Path, image: Path) -> None:
    """Print the table of an initramfs."""
    with tempfile.TemporaryDirectory() as name:
        unpacked = unpack(image, Path(name))
        packed = images(unpacked, Path(name))
        print("| runtime image | size | first start | once more |\n|---|---|---|---|")
        for way, path, (first_s, again_s) in zip(
            _WAYS, packed, starts(kernel, unpacked, packed, Path(name)), strict=True
        ):
            print(f"| {way} | {path.stat().st_size / 1e6:.2f} MB | {first_s:.2f} s | {again_s:.2f} s |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
