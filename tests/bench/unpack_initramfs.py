"""How long a kernel unpacks an initramfs: `python -m tests.bench.unpack_initramfs VMLINUZ INITRAMFS`.

Packs it as `--lean` does, in zstd and in xz, and starts a machine with each, whose clock counts its instructions, a
thousand million to the second: a slow core, whatever else the host does. Prints a Markdown table: the sizes, what the
kernel took, and what both and the load over 1 Gbit/s take together.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from seeder.initramfs.lean import pack
from seeder.initramfs.tree import unpack
from swarmboot.text.units import GOODPUT, parse_rate
from tests.system.vm.machine import EMULATED, OWN_CLOCK, PC

_BOUND_S = 300
_BEGIN, _OVER = r"\[ *([0-9.]+)\] Trying to unpack rootfs image", r"\[ *([0-9.]+)\] Freeing initrd memory"


def unpacked_s(kernel: Path, image: Path) -> float:
    """Return how long the kernel took to unpack an image, by its own clock."""
    cmdline = f"console={PC.console} panic=-1 rdinit=/none root=/dev/none {EMULATED}"  # it ends when it has unpacked
    command = (
        *PC.program, "-accel", "tcg", *OWN_CLOCK, "-m", "1024", "-display", "none", "-nodefaults", "-no-reboot",
        "-serial", "stdio", "-kernel", str(kernel), "-initrd", str(image), "-append", cmdline,
    )  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_BOUND_S)
    console = done.stdout.decode(errors="replace")
    begin, over = re.search(_BEGIN, console), re.search(_OVER, console)
    assert begin is not None, console
    assert over is not None, console
    return float(over[1]) - float(begin[1])


def main(kernel: Path, image: Path) -> None:
    """Print the table of an image."""
    with tempfile.TemporaryDirectory() as name:
        unpacked = unpack(image, Path(name))
        images = {"as it is": image}
        for compression in ("zstd", "xz"):
            images[compression] = Path(name) / f"{compression}.img"
            images[compression].write_bytes(pack(unpacked, compression))
        print("| packed with | size | unpacked in | with its load at 1 Gbit/s |\n|---|---|---|---|")
        for way, path in images.items():
            took_s, size_bytes = unpacked_s(kernel, path), path.stat().st_size
            loaded_s = size_bytes / parse_rate("1gbit") / GOODPUT
            print(f"| {way} | {size_bytes / 1e6:.2f} MB | {took_s:.2f} s | {took_s + loaded_s:.2f} s |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
