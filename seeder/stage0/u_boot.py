"""What boards with U-Boot fetch over TFTP: kernel, initramfs and device trees of the release, and what to do with them.

U-Boot asks for files that are there or not: nothing can be made up for who asks, held back until its turn, or checked.
So this folder is laid out anew when the release changes, the files under its digests first and the configuration last;
what the release before had stays for boards that are loading it.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from seeder.boot_script.extlinux import DEFAULTS, UBootEntry, config_name, u_boot_config
from seeder.boot_script.grammar import CommandLine, Said, TftpPath
from seeder.boot_script.load import Stage0
from seeder.initramfs.kernel import machine_of
from seeder.log import Log
from seeder.site.blobs import Blob
from seeder.site.device_trees import trees_path
from seeder.stage0.boards import ALL, Boards
from seeder.stage0.rack_map import RackMap
from seeder.stage0.served import Served
from swarmboot.errors import ReleaseError, SwarmbootError
from swarmboot.host.files import write_whole
from swarmboot.release import layout
from swarmboot.release.manifest import Manifest

BOOT_FILE = "u-boot.cfg"
"""What DHCP names to U-Boot: in the root, for its folder is where U-Boot looks for pxelinux.cfg/."""

_FOLDER = "u-boot"
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UBoot:
    """The TFTP root, what is known of boards, and the seeder's address for nodes."""

    root: Path
    boards: Boards
    racks: RackMap
    server: str

    async def follow(self, served: Served, site: Path, log: Log) -> None:
        """Lay out each release that the channel comes to point to, for ever; what is in the way is said once."""
        laid_out: Manifest | None = None
        while True:
            if served.manifest is not None and served.manifest is not laid_out:
                laid_out = served.manifest
                try:
                    await trio.to_thread.run_sync(self.lay_out, served, site)
                except (SwarmbootError, OSError) as error:
                    log.tell(f"stage 0: boards with U-Boot do not get manifest {laid_out.sequence}: {error}")
                else:
                    note = await trio.to_thread.run_sync(kernel_note, served, site)
                    log.tell(f"stage 0: boards with U-Boot boot manifest {laid_out.sequence}{note}")
            await trio.sleep(_LOOK_EVERY_S)

    def lay_out(self, served: Served, site: Path) -> None:
        """Put a release into the TFTP root; raise ReleaseError, nothing changed, if U-Boot cannot boot it, BlobError if
        its kernel or initramfs is not what was published: U-Boot does not look.

        Nothing changes either if another one comes while it is being written down: that is laid out next.
        """
        stage0, manifest = served.queue.stage0, served.manifest
        if stage0 is None or stage0.initramfs is None:
            raise ReleaseError(
                "U-Boot boots a kernel and an initramfs", expected="vmlinuz and initramfs.img in the release",
                found="none" if stage0 is None else "one unified kernel image",
            )  # fmt: skip
        trees = sorted(path.relative_to(site / trees_path(stage0.kernel.sha256)) for path in _trees(site, stage0))
        texts = {config_name(mac): self._config(served, stage0, mac, trees) for mac in self._macs()}
        texts |= dict.fromkeys((*DEFAULTS, BOOT_FILE), self._config(served, stage0, ALL, trees))
        if served.queue.stage0 is not stage0 or served.manifest is not manifest:
            return
        folder = self.root / _own_folder(stage0)
        for name, image in (("vmlinuz", stage0.kernel), ("initramfs.img", stage0.initramfs)):
            _copy_image(Blob(site, image), folder / name)
        for tree in trees:
            _copy(site / trees_path(stage0.kernel.sha256) / tree, folder / "dtb" / tree)
        _write(self.root, texts)
        _keep_newest(self.root / _FOLDER, folder.name)

    def _macs(self) -> Iterable[str]:
        """Return the boards that something of their own is known of."""
        return dict.fromkeys([*filter(None, self.boards.trees), *self.racks.single_machines])

    def _config(self, served: Served, stage0: Stage0, mac: str, trees: list[Path]) -> str:
        folder, tree = _own_folder(stage0), self.boards.tree(mac)
        if tree and Path(tree) not in trees:
            raise ReleaseError(
                f"the release has no device tree {tree}", expected="it below dtb/ in the release",
                found=f"{len(trees)} others" if trees else "no dtb/", hint="correct --boards, or publish it",
            )  # fmt: skip
        line = served.cmdline(mac, self.racks.place(mac, ""), self.server)
        return u_boot_config(
            UBootEntry(
                name=Said(f"{stage0.name}, manifest {stage0.sequence}"),
                kernel=TftpPath(f"{folder}/vmlinuz"),
                initramfs=TftpPath(f"{folder}/initramfs.img"),
                cmdline=CommandLine(line.words),
                fdt=TftpPath(f"{folder}/dtb/{tree}") if tree else None,
                fdtdir=TftpPath(f"{folder}/dtb") if trees else None,
                has_mac=bool(mac),
            )
        )


def _own_folder(stage0: Stage0) -> str:
    return f"{_FOLDER}/{stage0.prefixes.replace(',', '-')}"


def _trees(site: Path, stage0: Stage0) -> Iterable[Path]:
    return (path for path in (site / trees_path(stage0.kernel.sha256)).rglob("*.dtb*") if path.is_file())


def kernel_note(served: Served, site: Path) -> str:
    """Return what is to be said of a kernel for PCs, which hardly a board boots."""
    stage0 = served.queue.stage0
    machine = machine_of(site / layout.blob_path(stage0.kernel.sha256)) if stage0 else ""
    return f", whose kernel is for {machine}: publish one for the boards" if machine.startswith("x86") else ""


def _copy_image(image: Blob, path: Path) -> None:
    """Have an image there, once it is whole and proved."""
    if image.is_in(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    image.copy(temporary)
    temporary.chmod(0o644)
    temporary.replace(path)


def _copy(source: Path, path: Path) -> None:
    """Have a copy of a file there, once it is whole; no link: a service owns what is in its state, and not the site."""
    if path.exists() and filecmp.cmp(path, source, shallow=False):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    shutil.copyfile(source, temporary)
    temporary.chmod(0o644)
    temporary.replace(path)


def _write(root: Path, texts: dict[str, str]) -> None:
    """Write the configuration, and remove that of boards of which nothing of their own is known any more."""
    (root / "pxelinux.cfg").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_whole(root / name, text.encode(), mode=0o644)
    for path in (root / "pxelinux.cfg").glob("01-*"):
        if f"pxelinux.cfg/{path.name}" not in texts:
            path.unlink()


def _keep_newest(folder: Path, newest: str) -> None:
    """Remove what releases before the last had."""
    others = sorted((path for path in folder.iterdir() if path.name != newest), key=lambda path: path.stat().st_mtime)
    os.utime(folder / newest)
    for path in others[:-1]:
        with suppress(OSError):
            shutil.rmtree(path)
