"""Coinboot's server folder, as its documents describe it, boots a node by the two commands of docs/coinboot.md."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from netsim.demo.release import sample_release
from tests.support.coinboot import TOOL, write_server
from tests.system.vm import images
from tests.system.vm.lan import NAME, open_lan
from tests.system.vm.machine import booting
from tests.system.vm.programs import SWARMBOOT, run

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm_all,
    pytest.mark.timeout(1800),
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "mkinitramfs", "busybox", "mksquashfs", "mmdebstrap", "zstd"),
]

BOOT_S = 900.0
_TOOL = "usr/bin/acme-tool"
_HELLO = (
    """HELLO="$(dpkg-query -W -f '${Package} ${Version}' acme-tool), $(dpkg -S /usr/bin/acme-tool), $(acme-tool)"\n"""
)


def write_root(tree: Path, kernel: images.Kernel) -> Path:
    """Make the sample's Debian a tree with a kernel's modules, as debirf leaves one."""
    run("unsquashfs", "-quiet", "-no-progress", "-dest", str(tree), str(sample_release(say=print) / "rootfs.squashfs"))
    run("rm", "-rf", str(tree / "usr/lib/modules"), str(tree / "usr/share/doc"), str(tree / "usr/share/locale"))
    run("cp", "-a", str(kernel.tree / "lib/modules"), str(tree / "usr/lib/modules"))
    run("cp", str(kernel.tree / f"boot/config-{kernel.version}"), str(tree / "boot"))
    return tree


def write_marker_plugin(path: Path, tree: Path) -> None:
    """Pack what says on the console what has booted, with a package, as create_plugin.py does: files alone."""
    images.write_marker(tree)
    files = {"etc/hello.conf": _HELLO, _TOOL: "#!/bin/sh\necho runs\n", "tmp/dpkg_status": TOOL}
    files["var/lib/dpkg/info/acme-tool.list"] = f"/.\n/{_TOOL}\n"
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / _TOOL).chmod(0o755)
    with tarfile.open(path, "w:gz") as tar:
        for each in sorted(tree.rglob("*")):
            if each.is_symlink() or each.is_file():
                info = tar.gettarinfo(each)
                info.name = f"/{each.relative_to(tree)}"
                if info.isreg():
                    with each.open("rb") as file:
                        tar.addfile(info, file)
                else:
                    tar.addfile(info)


def write_runtime(tree: Path) -> Path:
    """Put the runtime image where `hook build-runtime` leaves it, in a tree that is laid over this machine's."""
    runtime = images.runtime_image()
    (tree / "usr/lib/swarmboot").mkdir(parents=True)
    for path in (runtime, runtime.with_suffix(".libraries")):
        shutil.copyfile(path, tree / "usr/lib/swarmboot" / path.name)
    return tree


def test_coinboots_server_folder_boots_a_node_that_knows_its_plugins_packages(tmp_path: Path) -> None:
    kernel, fleet = images.debian_kernel(), images.fleet()
    root = write_root(tmp_path / "root", kernel)
    server = write_server(
        tmp_path / "server", root, kernel=kernel.image, version=kernel.version, packer="zstd -q -3 -T0"
    )
    write_marker_plugin(server / "plugins/enabled/marker_v1.tar.gz", tmp_path / "marker")
    state, site = fleet.state(tmp_path / "state"), tmp_path / "site"
    run(
        *kernel.around(write_runtime(tmp_path / "beside")), "env", f"STATE_DIRECTORY={state}", *SWARMBOOT, "publish",
        str(server), "--site", str(site), "--key", str(fleet.keys / "swarmboot.key"),
    )  # fmt: skip
    with open_lan(tmp_path / "lan") as lan:
        lan.serve(site, state=state)
        cmdline = f"swarmboot.server=https://{NAME}:8470 swarmboot.discovery=off"
        vmlinuz, initramfs = (tmp_path / "server.release" / name for name in ("vmlinuz", "initramfs.img"))
        with booting(lan, "coinboot", kernel=vmlinuz, initramfs=initramfs, cmdline=cmdline, memory="1024") as node:
            node.wait_for("marker: end of it", within_s=BOOT_S)
            marks = node.marks()
    print("\ncoinboot:", json.loads(marks["report"])["phases"])
    assert marks["root"] == "overlay"
    assert marks["plugin"] == "acme-tool 1.2-3, acme-tool: /usr/bin/acme-tool, runs"
    assert 'COMPANY="ACME & sons"' in marks["environment"]
    assert marks["seed"] == "active"
