"""Puts a root together for real: the driver and the leecher's own step on images in a folder, in a namespace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from leecher.boot.hand_off import HandOff, Image, write
from tests.support.tree import DRIVER

STEP = """
import sys
from pathlib import Path
from leecher.initramfs import root
root.HAND_OFF = Path(sys.argv.pop(1))
root.main()
"""
_SCRIPT = """
swarmboot_files=${1%/*}
. "$1"
swarmboot_run=$2 swarmboot_console=$2/console swarmboot_kmsg=$2/kmsg swarmboot_cmdline=/proc/cmdline
mount() { command mount "$@" || { echo "mount $*" >&2; return 1; }; }
swarmboot_has_leecher() { :; }
swarmboot_leecher() {
    case $1 in
        leecher.initramfs.root) "$python" -c "$step" "$swarmboot_run/handover" "$2" "$swarmboot_run/runtime/mnt" ;;
        leecher.initramfs) echo "to the seeder: $3" ;;
    esac
}
python=$3 step=$4 look=$5
mkdir -p "$2/root" "$2/layers" "$2/runtime/mnt"
swarmboot_assemble "$2/root" && cd "$2/root" && eval "$look"
"""


def assemble(folder: Path, *plugins: Path, look: str, overlay: str = "50%", allow: tuple[str, ...] = ()) -> str:
    """Put plugins on the root image in `folder`/images, as the driver does, and return what all said, `look` last."""
    images = [Image("root", "squashfs", "rootfs.squashfs")]
    images += [Image("plugin", plugin.name.split(".", 1)[1], plugin.name) for plugin in plugins]
    hand_off = HandOff(str(folder / "images"), tuple(images), {}, allow, overlay, is_seeding=False)
    write(hand_off, folder / "handover")
    contained = ("unshare", "--mount", "--propagation", "private", "--", "dash", "-c", _SCRIPT, "sh")
    done = subprocess.run(
        (*contained, str(DRIVER), str(folder), sys.executable, STEP, look),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout
