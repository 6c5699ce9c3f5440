"""A machine without our hook boots what `publish --systemd` wrote: systemd of Debian sid, by dracut, fetches its root.

Debian 13's systemd (257) fetches images too, but attaches none to a block device (`blockdev` is of 258), so it boots
none by itself.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seeder.site.systemd_files import SIGNATURE, SUMS
from tests.support.commands import run as swarmboot
from tests.system.vm import images, roots
from tests.system.vm.cache import cached, fingerprint
from tests.system.vm.grounds import Chroot, fresh
from tests.system.vm.lan import ADDRESS, Lan, open_lan
from tests.system.vm.machine import booting
from tests.system.vm.programs import run

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(3600),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "busybox", "mksquashfs", "mmdebstrap", "gpg", "gpg-agent"),
]

SUITE, KEY = "sid", "fleet@swarmboot.test"
BOOT_S = 600.0
END = "marker: end of it"
TELL = "systemd.journald.forward_to_console=1"
"""Why a download was refused is in the journal, which systemd 262 shows on no console by itself."""
_PACKAGES = ("systemd-container", "libcurl4t64", "dracut", "dracut-network", "gpg")
_BUILD = """
apt-get -q update && apt-get -qy install "$@" && apt-get clean
install -m 644 /root/trust/ca.pem /etc/ssl/certs/ca-certificates.crt
install -m 644 -D /root/trust/import-pubring.pgp /etc/systemd/import-pubring.pgp
dracut --force --no-hostonly --kver "$(ls /lib/modules)" --compress zstd \
    --add "systemd-import systemd-networkd" --add-drivers "virtio_net squashfs loop overlay" \
    --include /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt \
    --include /etc/systemd/import-pubring.pgp /etc/systemd/import-pubring.pgp /boot/systemd-pull.img
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """A kernel and an initramfs of the distribution's own, and the gpg key that it believes."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        return self.folder / "initramfs.img"

    @property
    def keyring(self) -> Path:
        return self.folder / "trust/gpg"


def ground(fleet: images.Fleet) -> Ground:
    """Return Debian's kernel and dracut's initramfs as the page says, with keys in it; made now if it is not there."""
    base = fresh(SUITE)

    def build(folder: Path) -> None:
        home = folder / "trust/gpg"
        home.mkdir(parents=True, mode=0o700)
        gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet")
        run(*gpg, "--passphrase", "", "--quick-gen-key", KEY, "ed25519", "sign", "never")
        run(*gpg, "--output", str(folder / "trust/import-pubring.pgp"), "--export", KEY)
        run("gpgconf", "--homedir", str(home), "--kill", "all")
        shutil.copyfile(fleet.authority, folder / "trust/ca.pem")
        chroot, upper = Chroot((base / "tree", base / "upper")), folder / "upper"
        chroot.run("sh", "-ec", _BUILD, "sh", *_PACKAGES, into=upper, binds={"root/trust": folder / "trust"})
        shutil.move(upper / "boot/systemd-pull.img", folder / "initramfs.img")
        (kernel,) = (base / "upper/boot").glob("vmlinuz-*")
        shutil.copyfile(kernel, folder / "vmlinuz")
        shutil.rmtree(upper)

    key = fingerprint((), base.name, *_PACKAGES, _BUILD, fleet.authority.read_text())
    return Ground(cached(f"systemd-pull.{SUITE}", key, build))


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    with open_lan(tmp_path_factory.mktemp("lan")) as opened:
        yield opened


def published(work: Path, fleet: images.Fleet, ground: Ground) -> tuple[Path, str]:
    """Publish a root that says what it is made of and ends; return the site and the arguments that `publish` says."""
    release = work / "release"
    release.mkdir()
    roots.write_tiny_root(release / "rootfs.squashfs", work=work / "tree", padding_bytes=2_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(ground.keyring))
        key = fleet.keys / "swarmboot.key"
        done = swarmboot("publish", release, "--site", work / "site", "--systemd-key", KEY, "--key", key)
    subprocess.run(("gpgconf", "--homedir", str(ground.keyring), "--kill", "all"), check=True)
    assert done.status == 0, done.err
    (line,) = [line for line in done.out.splitlines() if "rd.systemd.pull=" in line]
    return work / "site", line.partition("systemd: ")[2].replace("SERVER", ADDRESS)


def test_systemd_boots_what_gpg_has_signed_and_refuses_what_it_has_not(tmp_path: Path, lan: Lan) -> None:
    fleet = images.fleet()
    made = ground(fleet)
    site, arguments = published(tmp_path, fleet, made)
    lan.serve(site, state=fleet.state(lan.work / "state"))
    more: dict[str, Any] = {"kernel": made.kernel, "initramfs": made.initramfs, "memory": "1536"}
    with booting(lan, "signed", cmdline=arguments, **more) as machine:
        at_s = machine.wait_for(END, within_s=BOOT_S)
        marks = machine.marks()
        print(f"\nbooted after {at_s:.1f} s: {marks}\n{arguments}")
        assert marks["root"] == "overlay"
        assert marks["written"] == "new"
    folder = site / "systemd/stable"
    (folder / SUMS).write_bytes((folder / SUMS).read_bytes() + b"\n")
    assert (folder / SIGNATURE).is_file()
    with booting(lan, "altered", cmdline=f"{arguments} {TELL}", **more) as machine:
        machine.wait_for("Signature verification failed", within_s=BOOT_S)
        assert END not in machine.console
