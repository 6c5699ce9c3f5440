"""The image of a USB stick that brings a machine without network boot to the server: GRUB, and iPXE under BIOS."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from seeder.boot_script.chainload import ipxe_start, stick_menu
from seeder.boot_script.grammar import Source
from swarmboot.errors import MalformedSettingError, ResourceError, ToolMissingError
from swarmboot.host.files import named_as
from swarmboot.host.programs import run_program

_BOUND_S = 120.0
_GRUB = Path("/usr/lib/grub")
_IPXE = (Path("/boot/ipxe.lkrn"), Path("/usr/lib/ipxe/ipxe.lkrn"))
_PROGRAMS = {"grub-mkrescue": "grub-common", "xorriso": "xorriso", "mformat": "mtools"}


def write_stick(image: Path, origin: Source) -> tuple[str, ...]:
    """Write an image that is copied to a stick as it is; return which firmware it starts from, "BIOS" and "UEFI".

    It is made by grub-mkrescue(1) for what this machine has GRUB's parts of. What was in the file is replaced once the
    image is whole. Raises MalformedSettingError for what is no plain file, ToolMissingError and ResourceError.
    """
    if image.exists() and not image.is_file():
        raise MalformedSettingError(
            f"{image} is no file", expected="a file's name", hint="write the image to the stick with dd afterwards"
        )
    if not image.parent.is_dir():
        raise MalformedSettingError(f"{image.parent} is no folder", hint="make it, or name a file in another one")
    firmware, ipxe = _find()
    beside = image.absolute().parent
    with named_as(image), tempfile.TemporaryDirectory(prefix=f".{image.name}.", dir=beside) as folder:
        tree, made = Path(folder, "tree"), Path(folder, "stick.img")
        (tree / "boot/grub").mkdir(parents=True)
        (tree / "boot/grub/grub.cfg").write_text(stick_menu(origin))
        (tree / "boot/start.ipxe").write_text(ipxe_start(origin))
        if ipxe is not None:
            shutil.copyfile(ipxe, tree / "boot/ipxe.lkrn")
        run_program(("grub-mkrescue", "-o", str(made), str(tree)), bound_s=_BOUND_S, failure=ResourceError)
        made.replace(image)
    return firmware


def _find() -> tuple[tuple[str, ...], Path | None]:
    """Return the firmware that a stick made here starts from, and iPXE for BIOS; raise ToolMissingError if none."""
    for program, package in _PROGRAMS.items():
        if shutil.which(program) is None:
            raise ToolMissingError(f"{program} is not installed", hint=f"apt install {package}")
    ipxe = next((path for path in _IPXE if path.is_file()), None)
    has_bios = ipxe is not None and (_GRUB / "i386-pc/boot_hybrid.img").is_file()
    has_uefi = any(_GRUB.glob("*-efi/kernel.img"))
    firmware = tuple(name for name, is_there in (("BIOS", has_bios), ("UEFI", has_uefi)) if is_there)
    if not firmware:
        raise ToolMissingError(
            "GRUB's parts for a stick are not installed", hint="apt install grub-efi-amd64-bin grub-pc-bin ipxe"
        )
    return firmware, ipxe
