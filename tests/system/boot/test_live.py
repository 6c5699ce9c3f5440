"""What live-build makes boots a bare machine by the two commands of docs/debian-live.md, its user there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system.bare.rack import RANGE, bare_rack
from tests.system.boot.test_coinboot import write_runtime
from tests.system.vm import images
from tests.system.vm.live import (
    ARGUMENTS,
    FULL_NAME,
    HOST_NAME,
    ISO,
    NETBOOT,
    NEXT,
    USER,
    live_image,
    live_iso,
    own_suite,
)
from tests.system.vm.machine import Machine
from tests.system.vm.programs import SWARMBOOT, run

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(3600),
    pytest.mark.needs(
        "qemu-system-x86_64", "dnsmasq", "mkinitramfs", "busybox", "mksquashfs", "debootstrap", "mmdebstrap", "lb",
        "bsdtar", "xorriso",
        "/usr/lib/ipxe/undionly.kpxe",
    ),
]  # fmt: skip

BOOT_S = 900.0
_WITH_RUNTIME = 'mount -t overlay -o "lowerdir=$1/usr:/usr" beside /usr || exit; shift; exec "$@"'
_XORRISO = ("xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-iso-level", "3", "-o")


def with_runtime(tree: Path) -> tuple[str, ...]:
    """Return what to put before a command that is to find the runtime image where the package has it."""
    contained = ("unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _WITH_RUNTIME, "sh")
    return (*contained, str(write_runtime(tree)))


@pytest.mark.parametrize("form", ["netboot.tar", "iso", "live"])
def test_what_live_build_has_made_boots_a_bare_machine_with_its_user_logged_in(tmp_path: Path, form: str) -> None:
    fleet, image = images.fleet(), given(tmp_path, form)
    with bare_rack(tmp_path / "rack") as rack:
        state = fleet.state(rack.work / "state")
        run(
            *with_runtime(tmp_path / "beside"), "env", f"STATE_DIRECTORY={state}", *SWARMBOOT, "publish", str(image),
            "--key", str(fleet.keys / "swarmboot.key"),
        )  # fmt: skip
        rack.serve(tmp_path / "site", "--pxe", "rack", "--dhcp-range", RANGE, "--stage0-trust", "lan")
        with rack.power_on("live", memory="1024") as node:
            node.wait_for("marker: end of it", within_s=BOOT_S)
            check(node, suite=own_suite() if form == "netboot.tar" else NEXT)


def given(work: Path, form: str) -> Path:
    """Return what an operator publishes: Debian 12's netboot.tar, Debian 13's ISO, or its folder `live/` alone."""
    if form == "netboot.tar":
        (work / NETBOOT).hardlink_to(live_image() / NETBOOT)
        return work / NETBOOT
    if form == "iso":
        (work / ISO).hardlink_to(live_iso())
        return work / ISO
    run("bsdtar", "-C", str(work), "-xf", str(live_iso()), "live")
    cmdline = ARGUMENTS.replace(" toram", "")
    (work / "live/release.toml").write_text(f'name = "live"\ncmdline = "{cmdline}"\nallow = ["devices", "setuid"]\n')
    return work / "live"


def check(node: Machine, *, suite: str) -> None:
    """Check that the root is the image's, and that live-config has done in it what menu and medium say."""
    marks = node.marks()
    print(f"\n{suite}, {marks['kernel']}:", json.loads(marks["report"])["phases"])
    assert (marks["root"], marks["seed"], marks["plugin"]) == ("overlay", "active", "live")
    assert (marks["suite"], marks["live"]) == (suite, "active")
    assert f"marker: user {USER}:x:1000:1000:{FULL_NAME}" in node.console  # as config.conf on the medium says
    assert "sudo" in marks["groups"].split()
    assert marks["sudo"] == "0"
    assert f"--autologin {USER}" in marks["tty"]
    assert marks["host"] == f"{HOST_NAME} {HOST_NAME}"
    assert marks["medium"] == "/lib/live/mount config-hooks"  # the rest of the list is on a line of its own
    assert marks["hook"] == "ran"
    assert marks["servers"] == "0"  # /etc/resolv.conf leads to what DHCP said, and this DHCP names no server


_LAID_OVER = """
mount -t tmpfs work "$2" && cd "$2" && mkdir root layer upper work all
mount -o loop,ro "$1/rootfs.squashfs" root
mount -o loop,ro "$1/plugins/90-live-medium.squashfs" layer
mount -t overlay -o lowerdir=layer:root,upperdir=upper,workdir=work over all
mount -t proc proc all/proc
mount -t tmpfs run all/run
mount --bind /dev all/dev
sed -n 's/^cmdline = "\\(.*\\)"/\\1/p' "$1/release.toml" >cmdline
mount --bind cmdline all/proc/cmdline
chroot all systemd-tmpfiles --create /usr/lib/tmpfiles.d/swarmboot-live.conf
chroot all /lib/systemd/system-generators/live-config-getty-generator /run
chroot all /bin/live-config >&2
chroot all getent passwd "$3"
chroot all su "$3" -c 'sudo -n id -u'
hostname
cat all/etc/by-a-hook
grep -o -e '--autologin [a-z]*' all/run/getty@tty1.service.d/*
"""


def test_live_config_does_its_work_over_the_layers_of_the_release(tmp_path: Path) -> None:
    release, work = tmp_path / "release", tmp_path / "work"
    work.mkdir()
    run(*SWARMBOOT, "release", "import", str(live_image() / NETBOOT), "--out", str(release), "--no-initramfs")
    contained = ("unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--propagation", "private", "--")
    said = run(*contained, "sh", "-ec", _LAID_OVER, "sh", str(release), str(work), USER).splitlines()
    assert said[0] == f"{USER}:x:1000:1000:{FULL_NAME},,,:/home/{USER}:/bin/bash"  # the name is the medium's own
    assert said[1:] == ["0", HOST_NAME, "ran", f"--autologin {USER}"]


def test_an_iso_and_the_folder_of_the_build_give_the_release_that_the_tar_gives(tmp_path: Path) -> None:
    built, made = live_image(), []
    iso = tmp_path / "live.iso"
    run(*_XORRISO, str(iso), "-graft-points", f"/={built / 'binary'}", f"/live={built / 'tftpboot/live'}",
        f"/isolinux={built / 'tftpboot'}")  # fmt: skip
    for number, what in enumerate((built / NETBOOT, built, iso)):
        made.append(tmp_path / f"{number}.release")
        run(*SWARMBOOT, "release", "import", str(what), "--out", str(made[-1]), "--no-initramfs")
    for name in ("vmlinuz", "rootfs.squashfs", "plugins/90-live-medium.squashfs"):
        assert len({(release / name).read_bytes() for release in made}) == 1
    assert len({(release / "release.toml").read_text().splitlines()[1] for release in made}) == 1
