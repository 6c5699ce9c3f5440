"""The lean initramfs of Debian's normal kernel drives every card that QEMU has, whichever generator has made it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import zip_longest

import pytest

from tests.system.vm import images, roots
from tests.system.vm.lan import NAME, Lan, open_lan
from tests.system.vm.machine import booting

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(3600),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "mkinitramfs", "dracut", "busybox", "mksquashfs"),
]

MODELS = {
    "virtio-net-pci": "virtio_net", "e1000e": "e1000e", "e1000": "e1000", "rtl8139": "8139cp", "vmxnet3": "vmxnet3",
    "pcnet": "pcnet32", "tulip": "tulip", "i82559er": "e100", "ne2k_pci": "ne2k-pci",
}  # fmt: skip
"""QEMU's cards, and the drivers of theirs."""
BOOT_S = 600.0
"""A bound on hangs."""
END = "marker: end of it"
PADDING_BYTES = 2_000_000


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    """A LAN with a seeder of a root that is next to nothing."""
    work = tmp_path_factory.mktemp("cards")
    fleet, release = images.fleet(), work / "release"
    release.mkdir()
    roots.write_tiny_root(release / "rootfs.squashfs", work=work / "tree", padding_bytes=PADDING_BYTES)
    images.publish(release, site=work / "site", keys=fleet.keys)
    with open_lan(work / "lan") as opened:
        opened.serve(work / "site", state=fleet.state(opened.work / "state"))
        yield opened


@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut"])
def test_every_card_that_qemu_has_boots_from_the_lean_initramfs(lan: Lan, generator: str) -> None:
    kernel, initramfs = images.debian_kernel("amd64"), images.initramfs(generator, flavour="amd64")
    cmdline = f"swarmboot.server=https://{NAME}:8470 swarmboot.seed=off init=/sbin/init"
    models = list(MODELS)
    for pair in zip_longest(models[::2], models[1::2]):
        with ExitStack() as stack:
            machines = {
                model: stack.enter_context(
                    booting(
                        lan, f"{generator}-{model}", kernel=kernel.image, initramfs=initramfs, cmdline=cmdline,
                        model=model,
                    )
                )
                for model in filter(None, pair)
            }  # fmt: skip
            for model, machine in machines.items():
                machine.wait_for(END, within_s=BOOT_S)
                assert machine.marks()["root"] == "overlay"
                assert re.search(rf"\b{MODELS[model]}\b", machine.console), model
