"""`--stage0-trust secureboot`: real ukify and sbsign at publication, and OVMF that knows only Debian's snakeoil key.

A neighbour that hands out another kernel, one that iPXE takes for a kernel, is refused by the firmware itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmboot.release import layout, trust
from swarmboot.release.manifest import UNIFIED, Artifact, Role, decode
from tests.system.bare.packages import unpacked
from tests.system.bare.rack import (
    ADDRESS,
    PXE,
    BareRack,
    bad_neighbour,
    good_neighbour,
    marks,
    publish,
    tiny_initramfs,
)
from tests.system.vm import images
from tests.system.vm.programs import PATH, SWARMBOOT, run

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.needs(
        "busybox",
        "openssl",
        "sbsign",
        "/usr/share/ovmf/PkKek-1-snakeoil.key",
        "/usr/lib/systemd/boot/efi/linuxx64.efi.stub",
        "/usr/lib/python3/dist-packages/pefile.py",
    ),
]
SNAKEOIL = Path("/usr/share/ovmf/PkKek-1-snakeoil.pem")
CMDLINE = f"console=ttyS0 swarmboot.server=https://{ADDRESS}:8470"


@dataclass(frozen=True, slots=True)
class Signed:
    """A fleet whose Secure Boot key is `key`: its iPXE, its site, and an image of the same kind that nobody signed."""

    key: Path
    ipxe: Path
    site: Path
    unsigned: Path


def sign(key: Path, image: Path, out: Path) -> Path:
    run("sbsign", "--key", str(key), "--cert", str(SNAKEOIL), "--output", str(out), str(image))
    return out


def kernel_of(site: Path) -> Artifact:
    (path,) = (site / "manifests").iterdir()
    manifest = decode(trust.open_envelope(path.read_bytes(), trust.Kind.MANIFEST).payload)
    (kernel,) = manifest.with_role(Role.KERNEL)
    return kernel


@pytest.fixture(scope="module")
def path() -> str:
    """Return where programs are looked for, ukify of Debian 13 among them."""
    return f"{unpacked('systemd-ukify', suite='trixie') / 'usr/bin'}:/usr/bin:{PATH}"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("key") / "snakeoil.key"
    run("openssl", "rsa", "-in", str(SNAKEOIL.with_suffix(".key")), "-passin", "pass:snakeoil", "-out", str(out))
    return out


@pytest.fixture(scope="module")
def ipxe(key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ipxe")
    sign(key, unpacked("ipxe", suite="testing") / "usr/lib/ipxe/snponly.efi", folder / "snponly.efi")
    return folder


@pytest.fixture(scope="module")
def unified(key: Path, ipxe: Path, path: str, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    work, kernel = tmp_path_factory.mktemp("unified"), images.debian_kernel().image
    signing = ("--secureboot-key", str(key), "--secureboot-cert", str(SNAKEOIL))
    right = publish(
        work / "right", "--uki", *signing, kernel=kernel, initramfs=tiny_initramfs(), cmdline=CMDLINE, path=path
    )
    other = publish(
        work / "other", "--uki", kernel=kernel, initramfs=tiny_initramfs(), cmdline=f"{CMDLINE} evil", path=path
    )
    return Signed(key, ipxe, right, other / layout.blob_path(kernel_of(other).sha256))


def test_the_release_is_one_image_that_is_signed_and_knows_its_kernel(unified: Signed) -> None:
    kernel = kernel_of(unified.site)
    assert (kernel.name, kernel.format) == ("boot.efi", UNIFIED)
    assert kernel.version.split()[0] == images.debian_kernel().version
    blob = unified.site / layout.blob_path(kernel.sha256)
    run("sbverify", "--cert", str(SNAKEOIL), str(blob))
    with pytest.raises(AssertionError, match="sbverify ended with 1"):
        run("sbverify", "--cert", str(SNAKEOIL), str(unified.unsigned))


def test_publishing_it_again_changes_nothing(unified: Signed, path: str) -> None:
    work = unified.site.parent
    fixed = ("--site", str(unified.site), "--key", str(work / "keys/swarmboot.key"))
    signing = ("--secureboot-key", str(unified.key), "--secureboot-cert", str(SNAKEOIL))
    run("env", f"PATH={path}", *SWARMBOOT, "publish", "--force", str(work / "release"), *fixed, "--uki", *signing)
    assert [each.name for each in (unified.site / "manifests").iterdir()] == ["1.swarm"]


@pytest.mark.vm
@pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "curl")
def test_firmware_refuses_a_neighbours_unsigned_image_and_starts_the_next_ones(unified: Signed, rack: BareRack) -> None:
    rack.serve(unified.site, *PXE, "--stage0-trust", "secureboot", "--ipxe", str(unified.ipxe))
    bad_neighbour(rack, unified.site, fault=str(unified.unsigned), host="10.98.0.2")
    good_neighbour(rack, unified.site, host="10.98.0.3")
    before = rack.status()["stage0"]["sent_bytes"]
    with rack.power_on("uki", firmware="secureboot", memory="1024") as machine:
        found = marks(machine)
        assert "this firmware does not start what 10.98.0.2 sent" in machine.console
    assert found["cmdline"].endswith(f"{CMDLINE} swarmboot.stage0=unified")
    assert "asked for /k/" in (rack.work / "bad-10.98.0.2.log").read_text()
    assert rack.status()["stage0"]["sent_bytes"] == before


@pytest.mark.vm
@pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "curl")
def test_of_a_signed_kernel_alone_neighbours_serve_the_kernel_and_the_server_its_initramfs(
    key: Path, ipxe: Path, rack: BareRack, tmp_path: Path
) -> None:
    kernel = sign(key, images.debian_kernel().image, tmp_path / "vmlinuz")
    site = publish(tmp_path / "split", kernel=kernel, initramfs=tiny_initramfs())
    rack.serve(site, *PXE, "--stage0-trust", "secureboot", "--ipxe", str(ipxe))
    bad_neighbour(rack, site, fault="wrong", host="10.98.0.2")
    before = rack.status()["stage0"]["sent_bytes"]
    with rack.power_on("split", firmware="secureboot", memory="1024") as machine:
        marks(machine)
        assert "this firmware does not start what 10.98.0.2 sent" in machine.console
    initramfs = (tmp_path / "split/release/initramfs.img").stat().st_size
    asked = (rack.work / "bad-10.98.0.2.log").read_text()
    assert asked.count("asked for /k/") == 1
    assert rack.status()["stage0"]["sent_bytes"] == before + kernel.stat().st_size + 2 * initramfs
    assert any(line.endswith("has stage 0") for line in rack.log)
