"""The driver with the programs of a real initramfs, in a chroot of it: a boot that fails, and the retry that does not.

No machine is emulated: mounts, loop devices, the runtime, the leecher and the shell are those that a node has.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import wait_for_line
from tests.system.vm import images
from tests.system.vm.programs import PROMPT_S, SWARMBOOT, run, running

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(600),
    pytest.mark.needs("mkinitramfs", "unmkinitramfs", "dracut", "busybox", "mksquashfs", "unshare"),
]

_ENTER = """
mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && mount --rbind /sys "$1/sys" || exit
mount -t tmpfs run "$1/run" || exit
exec chroot "$1" /bin/sh -c "$2"
"""
_BOOT = """
swarmboot_console=/none/console # so lines go to standard error
. /usr/lib/swarmboot/driver.sh
swarmboot_has_address() { :; }
until swarmboot_boot /root; do
    echo 'rescue shell'
    while read -r where type _; do [ "$where" = "/root" ] && echo 'a root is left'; done </proc/mounts
    while [ ! -e /leave-the-rescue-shell ]; do sleep 1; done
done
[ -x /root/sbin/init ] && echo 'it has an init'
while read -r _ where type _; do echo "mounted $where $type"; done </proc/mounts
"""


@dataclass(frozen=True, slots=True)
class Node:
    """An unpacked initramfs, and the fleet that it boots a release of."""

    root: Path
    work: Path
    fleet: images.Fleet

    def publish(self, *, has_init: bool) -> None:
        """Publish a release whose root has an init or none."""
        tree, release = self.work / "tree", self.work / "release"
        shutil.rmtree(tree, ignore_errors=True)
        (tree / "sbin").mkdir(parents=True)
        (tree / "etc").mkdir()
        shutil.copy("/bin/busybox", tree / "sbin" / ("init" if has_init else "other"))
        release.mkdir(exist_ok=True)
        image = str(release / "rootfs.squashfs")
        run("mksquashfs", str(tree), image, "-all-root", "-noappend", "-quiet", "-no-progress")
        run(*SWARMBOOT, "publish", str(release), "--site", str(self.work / "site"), "--key",
            str(self.fleet.keys / "swarmboot.key"), "--force")  # fmt: skip


@pytest.fixture(params=["initramfs-tools", "dracut"])
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Node:
    fleet, root = images.fleet(), tmp_path / "initramfs"
    run("unmkinitramfs", str(images.initramfs(request.param)), str(root))
    if (root / "main").is_dir():  # the runtime may lie beside the archive that is compressed
        shutil.copytree(root / "early", root / "main", symlinks=True, dirs_exist_ok=True)
        root /= "main"
    for name in ("dev", "proc", "sys", "run", "root"):
        (root / name).mkdir(exist_ok=True)
    return Node(root, tmp_path, fleet)


@pytest.fixture
def seeder(node: Node) -> Iterator[Path]:
    """Serve the site; the log."""
    node.publish(has_init=False)
    log, state = node.work / "seeder.log", node.fleet.state(node.work / "state")
    with running(
        *SWARMBOOT,
        "serve",
        str(node.work / "site"),
        "--listen",
        "127.0.0.1:0",
        "--state",
        str(state),
        "--log-format=bare",
        log=log,
    ):
        line = wait_for_line(log, "listening on https", within_s=PROMPT_S)
        with (node.root / "etc/swarmboot/defaults").open("a") as defaults:
            defaults.write(f"server={line.split()[2].rstrip(',')}\ndiscovery=off\n")
        yield log


def test_a_boot_that_fails_says_why_and_its_retry_mounts_nothing_twice(node: Node, seeder: Path) -> None:
    command = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "--")
    log = node.work / "node.log"
    with running(*command, "sh", "-c", _ENTER, "sh", str(node.root), _BOOT, log=log) as process:
        wait_for_line(log, "^rescue shell$", within_s=PROMPT_S)
        wait_for_line(seeder, r"boot [0-9a-f]{8}\) failed: the root has no init", within_s=PROMPT_S)
        assert "a root is left" not in log.read_text()
        node.publish(has_init=True)
        (node.root / "leave-the-rescue-shell").touch()
        wait_for_line(log, "^mounted /root overlay$", within_s=PROMPT_S)
        assert process.wait(60) == 0, log.read_text()
    said = log.read_text()
    assert "the root is ready after" in said
    assert "it has an init" in said
    mounted = re.findall(r"^mounted (/root|/run/swarmboot\S*) ", said, re.MULTILINE)
    assert sorted(mounted) == ["/root", "/run/swarmboot", "/run/swarmboot/changes", "/run/swarmboot/layers/0",
                               "/run/swarmboot/runtime"]  # fmt: skip
    assert " images verified in " in seeder.read_text()
