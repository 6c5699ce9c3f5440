"""What outlives a boot: a disk with a label, a folder of an NFS server, and neither of them being there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.system.vm import images
from tests.system.vm.lan import ADDRESS, NAME, Lan, open_lan
from tests.system.vm.machine import Machine, booting, mac_of
from tests.system.vm.programs import running

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(2400),
    pytest.mark.needs(
        "qemu-system-x86_64", "dnsmasq", "mkinitramfs", "dracut", "mkfs.ext4", "mksquashfs", "mmdebstrap",
        "ganesha.nfsd",
    ),
]  # fmt: skip

BOOT_S = 600.0
MEMORY = "512"
CMDLINE = f"swarmboot.server=https://{NAME}:8470"
SAY = r"""
say memory "$(free -m | awk '/^Mem/ {print $2, "MiB, used", $3, "shared", $5, "available", $7}')"
sleep 20 # until the neighbour is all there
pid=$(systemctl show -P MainPID swarmboot-seed)
say neighbour "$(awk '/^(VmHWM|VmRSS|RssAnon|RssFile):/ {printf "%s%s ", $1, $2}' "/proc/$pid/status")"
say storage "$(awk '$2 == "/srv" {print $3, $4}' /proc/mounts | cut -d, -f1-3) $(cat /srv/before 2>/dev/null)"
grep -q ' /srv ' /proc/mounts && echo "of this boot" >/srv/after && sync && say written "$(cat /srv/after)"
"""
GANESHA = """
NFS_CORE_PARAM {{ Protocols = 4; Bind_addr = {address}; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSV4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = "{folder}"; }}
EXPORT {{
    Export_Id = 7; Path = "{path}"; Pseudo = "{path}"; Access_Type = RW; Squash = None; SecType = sys; Protocols = 4;
    Transports = TCP; FSAL {{ Name = MEM; }}
}}
"""


def published(work: Path, toml: str) -> Path:
    """Publish a release that says this of storage, and return its site."""
    release = images.write_release(work / "release", first=SAY, is_whole=True)
    (release / "release.toml").write_text(toml)
    images.publish(release, site=work / "site", keys=images.fleet().keys)
    return work / "site"


def initramfs(work: Path, generator: str) -> Path:
    fleet = images.fleet()
    return images.build_initramfs(
        work / "initramfs.img", kernel=images.debian_kernel(), trust=fleet.trust, authority=fleet.authority,
        generator=generator, runtime=images.runtime_image(), defaults=("storage=ext4,nfs4",),
    )  # fmt: skip


@contextmanager
def rack(work: Path, toml: str) -> Iterator[Lan]:
    """Open a LAN with a seeder of a release that says this of storage."""
    site = published(work, toml)
    with open_lan(work) as lan:
        lan.seeders.append(lan.serve(site, state=images.fleet().state(work / "state")))
        yield lan


def labelled_disk(path: Path) -> tuple[str, ...]:
    """Make a disk whose file system is called data, with a file on it, and return QEMU's arguments for it."""
    (path.parent / "content").mkdir()
    (path.parent / "content/before").write_text("an earlier boot\n")
    with path.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(("mkfs.ext4", "-q", "-L", "data", "-d", str(path.parent / "content"), str(path)), check=True)
    return ("-drive", f"file={path},if=virtio,format=raw")


def on_disk(disk: Path, name: str) -> str:
    command = ("debugfs", "-R", f"cat {name}", str(disk))
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def tell_memory(generator: str, machine: Machine) -> None:
    """Print what a machine of 512 MiB had left, and what its leecher and its neighbour took."""
    leecher = re.search(r"the leecher has .*", machine.console)
    marks = machine.marks()
    print(f"\n{generator}: {leecher[0] if leecher else ''}; neighbour {marks['neighbour']}; {marks['memory']}")


@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut"])
def test_a_disk_is_mounted_by_its_label_and_keeps_what_a_boot_writes_and_without_it_a_node_goes_on(
    tmp_path: Path, generator: str
) -> None:
    kernel, image = images.debian_kernel().image, initramfs(tmp_path, generator)
    drive = labelled_disk(tmp_path / "disk")
    with rack(tmp_path, 'storage = "LABEL=data"\n') as lan:
        with booting(
            lan, "disk", kernel=kernel, initramfs=image, cmdline=CMDLINE, memory=MEMORY, more=drive
        ) as machine:
            machine.wait_for("storage LABEL=data is mounted on /srv", within_s=BOOT_S)
            machine.wait_for("marker: end of it", within_s=BOOT_S)
            tell_memory(generator, machine)
            assert machine.marks()["storage"].split()[0] == "ext4"
            assert {"rw", "nosuid", "nodev"} == set(machine.marks()["storage"].split()[1].split(","))
            assert machine.marks()["storage"].endswith("an earlier boot")
            wait_until(
                "what the boot wrote", lambda: "of this boot" in on_disk(tmp_path / "disk", "/after"), within_s=60
            )
        with booting(lan, "none", kernel=kernel, initramfs=image, cmdline=CMDLINE, memory=MEMORY) as machine:
            machine.wait_for("LABEL=data for /srv is missing, going on without: no such disk is there", within_s=BOOT_S)
            machine.wait_for("marker: end of it", within_s=BOOT_S)
            assert machine.marks()["storage"] == ""


def test_a_release_may_have_a_node_stop_without_its_storage(tmp_path: Path) -> None:
    image = initramfs(tmp_path, "initramfs-tools")
    with rack(tmp_path, 'storage = "LABEL=data"\nstorage_missing = "stop"\n') as lan:
        kernel = images.debian_kernel().image
        with booting(lan, "stop", kernel=kernel, initramfs=image, cmdline=f"{CMDLINE} panic=1") as machine:
            machine.wait_for("is missing, and the release has nodes stop then: no such disk is there", within_s=BOOT_S)
            machine.wait_for("no root; the lines above say why", within_s=BOOT_S)
        assert "the release has nodes stop then" in (lan.work / "seeder-8470.log").read_text()


@pytest.mark.parametrize(("generator", "value"), [("initramfs-tools", "mac_dashes"), ("dracut", "mac")])
def test_a_node_has_its_own_folder_of_an_nfs_server(tmp_path: Path, generator: str, value: str) -> None:
    name, image = "nfs", initramfs(tmp_path, generator)
    path = f"/nodes/{mac_of(name) if value == 'mac' else mac_of(name).replace(':', '-')}"
    (tmp_path / "recovery").mkdir()
    conf, log = tmp_path / "ganesha.conf", tmp_path / "ganesha.log"
    conf.write_text(GANESHA.format(address=ADDRESS, folder=tmp_path / "recovery", path=path))
    kernel = images.debian_kernel().image
    command = ("ganesha.nfsd", "-F", "-L", str(log), "-f", str(conf), "-p", str(tmp_path / "pid"))
    with (
        rack(tmp_path, f'storage = "{NAME}:/nodes/{{{value}}}"\n') as lan,
        running(*lan.inside, *command, log=tmp_path / "ganesha.out"),
        booting(lan, name, kernel=kernel, initramfs=image, cmdline=CMDLINE, memory=MEMORY) as machine,
    ):
        machine.wait_for(rf"storage {ADDRESS}:{path} is mounted on /srv", within_s=BOOT_S)
        machine.wait_for("marker: end of it", within_s=BOOT_S)
        assert machine.marks()["storage"].startswith("nfs4 rw,nosuid,nodev")
        assert machine.marks()["written"] == "of this boot"
        tell_memory(generator, machine)
