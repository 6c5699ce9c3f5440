"""`--stage0-trust ipxe-verify` with an iPXE that can check: UEFI machines, Debian's iPXE 2 from a newer suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.bare.packages import unpacked
from tests.system.bare.rack import (
    PXE,
    BareRack,
    bad_neighbour,
    good_neighbour,
    marks,
    needs_ovmf,
)

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(300),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "busybox", "curl"),
    needs_ovmf,
]


def test_a_wrong_kernel_is_caught_and_the_right_one_from_the_next_neighbour_boots(
    tiny_site: Path, rack: BareRack
) -> None:
    ipxe = unpacked("ipxe", suite="testing") / "usr/lib/ipxe"
    rack.serve(tiny_site, *PXE, "--stage0-trust", "ipxe-verify", "--ipxe", str(ipxe))
    bad_neighbour(rack, tiny_site, fault="wrong", host="10.98.0.2")
    good_neighbour(rack, tiny_site, host="10.98.0.3")
    before = rack.status()["stage0"]["sent_bytes"]
    with rack.power_on("checks", firmware="uefi", memory="1024") as machine:
        found = marks(machine)
        assert "from neighbour 10.98.0.2, neighbour 10.98.0.3, the server" in machine.console
        for image in ("vmlinuz", "initramfs.img"):
            assert f"{image} is not the one that was signed" in machine.console
    assert "swarmboot.stage0=" in found["cmdline"]
    assert (rack.work / "bad-10.98.0.2.log").read_text().count("asked for /k/") == 2
    assert rack.status()["stage0"]["sent_bytes"] == before
