"""An arm64 machine goes from power-on to a kernel: UEFI firmware, iPXE for arm64 over TFTP, Debian's arm64 kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.bare.packages import kernel, unpacked
from tests.system.bare.rack import ADDRESS, BOOT_S, PXE, BareRack, mac, marks, publish, tiny_initramfs

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(300),
    pytest.mark.needs("qemu-system-aarch64", "dnsmasq", "curl", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
]


def arm64_release(work: Path) -> Path:
    """Publish a release for arm64 and return its site."""
    busybox = unpacked("busybox-static", suite="bookworm", architecture="arm64") / "bin/busybox"
    image = kernel("cloud-arm64", suite="bookworm", architecture="arm64")
    return publish(work, kernel=image, initramfs=tiny_initramfs(busybox=busybox), cmdline="console=ttyAMA0")


def test_an_arm64_machine_boots_by_itself(rack: BareRack, tmp_path: Path) -> None:
    ipxe = unpacked("ipxe", suite="testing") / "usr/lib/ipxe"
    rack.serve(arm64_release(tmp_path / "arm64"), *PXE, "--ipxe", str(ipxe))
    with rack.power_on("arm64", firmware="arm64", memory="1024") as machine:
        machine.wait_for("NBP filename is ipxe-arm64.efi", within_s=BOOT_S)
        assert f"BOOTIF=01-{mac(1).replace(':', '-')}" in marks(machine)["cmdline"]


@pytest.mark.vm_all
def test_an_arm64_machine_boots_over_http(rack: BareRack, tmp_path: Path) -> None:
    ipxe = unpacked("ipxe", suite="testing") / "usr/lib/ipxe"
    rack.serve(arm64_release(tmp_path / "arm64"), *PXE, "--ipxe", str(ipxe))
    with rack.power_on("arm64-http", firmware="arm64-http", memory="1024") as machine:
        machine.wait_for(f"URI: http://{ADDRESS}/boot/ipxe-arm64.efi", within_s=BOOT_S)
        assert f"BOOTIF=01-{mac(1).replace(':', '-')}" in marks(machine)["cmdline"]
