"""A folder as Coinboot's own documents describe it: server/ with boot/, conf/environment/ and plugins/enabled/.

Sources: github.com/frzb/coinboot, server/docker-compose.yml (what is mounted where), server/docker/
coinboot-download-helper (names and links), debirf/debirf (the nested initramfs), debirf/scripts/create_plugin.py
(plugins: absolute names, /tmp/dpkg_status), server/conf/environment/default.env, server/boot/coinboot.ipxe.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

BUILT_S = 1640000000
VERSION = "5.11.0-46-generic"
TOOL = """Package: acme-tool
Status: install ok installed
Maintainer: ACME <acme@example.org>
Architecture: all
Version: 1.2-3
Description: a tool of ACME's
"""
BASE = """Package: base-files
Essential: yes
Status: install ok installed
Maintainer: Debian <debian@example.org>
Architecture: amd64
Version: 12.4
Description: the root's own
"""
_ENV = """# Mandatory environment variables.
COINBOOT_SERVER_IP=192.168.1.2
RELEASE=20220115   # a tag
export COMPANY='ACME & sons'
"""
_SCRIPT = """#!ipxe
set base-url http://${dhcp-server}
kernel ${base-url}/vmlinuz coinboot-server=${base-url} initrd=initramfs ignore_loglevel net.ifnames=0 zram
initrd ${base-url}/initramfs
boot
"""
_CPIO = "cd $0 && find . -mindepth 1 | LC_ALL=C sort | cpio --create --format=newc --quiet"


def write_small_root(tree: Path, *, version: str = VERSION) -> Path:
    """Make the tree of a root that nothing boots: an init, dpkg's list, kernel modules, linked files, a merged /usr."""
    for name in ("usr/sbin", "usr/lib", "etc", "var/lib/dpkg/info", f"usr/lib/modules/{version}/kernel/fs", "boot"):
        (tree / name).mkdir(parents=True)
    for name in ("sbin", "lib"):
        (tree / name).symlink_to(f"usr/{name}")
    shutil.copy("/bin/true", tree / "usr/sbin/init")
    (tree / "var/lib/dpkg/status").write_text(f"{BASE}\n")
    (tree / "etc/one").write_text("linked\n")
    (tree / "etc/two").hardlink_to(tree / "etc/one")
    (tree / "etc/empty").touch()
    modules = tree / "usr/lib/modules" / version
    (modules / "kernel/fs/overlay.ko").write_bytes(b"")
    (modules / "modules.dep").write_text("kernel/fs/overlay.ko:\n")
    (tree / f"boot/config-{version}").write_text("CONFIG_RD_GZIP=y\n")
    for path in tree.rglob("*"):
        os.utime(path, (BUILT_S, BUILT_S), follow_symlinks=False)
    return tree


def write_server(
    server: Path, root: Path, *, kernel: Path, version: str = VERSION, packer: str = "zstd -q",
    beside: Mapping[str, bytes] | None = None,
) -> Path:  # fmt: skip
    """Make the server folder of a root's tree; `beside` are files around the nested archive."""
    boot = server / "boot"
    for name in ("boot", "conf/environment", "conf/dnsmasq", "plugins/enabled"):
        (server / name).mkdir(parents=True)
    nest = server.parent / f"{server.name}-nest"
    (nest / "bin").mkdir(parents=True)
    (nest / "init").write_text("#!/bin/sh\n")
    for name, data in (beside or {}).items():
        (nest / name).parent.mkdir(parents=True, exist_ok=True)
        (nest / name).write_bytes(data)
    _pack(root, nest / "rootfs.czst", packer)
    _pack(nest, boot / f"coinboot-initramfs-{version}", "gzip -9n")
    shutil.copyfile(kernel, boot / f"coinboot-vmlinuz-{version}")
    for link in ("vmlinuz", "initramfs"):
        (boot / link).symlink_to(f"/var/lib/tftpboot/coinboot-{link}-{version}")
    (boot / "coinboot.ipxe").write_text(_SCRIPT)
    (boot / "undionly.kpxe").write_bytes(b"a loader")
    (server / "conf/dnsmasq/coinboot.conf").write_text("dhcp-range=192.168.1.10,192.168.1.100,6h\n")
    (server / "conf/environment/default.env").write_text(_ENV)
    (server / "docker-compose.yml").write_text("services:\n")
    return server


def _pack(tree: Path, out: Path, packer: str) -> None:
    subprocess.run(("bash", "-eo", "pipefail", "-c", f"{_CPIO} | {packer} >$1", str(tree), str(out)), check=True)


def write_plugin(path: Path, files: Mapping[str, bytes], *, status: str = "") -> Path:
    """Write a plugin as create_plugin.py does: files alone, names from the root on, dpkg's list of what is new."""
    added = {
        **{f"/{name}": data for name, data in files.items()},
        **({"/tmp/dpkg_status": status.encode()} if status else {}),
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, data in added.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o644, 1640000000
            if b"#!" in data[:2]:
                info.mode = 0o755
            tar.addfile(info, io.BytesIO(data))
    return path
