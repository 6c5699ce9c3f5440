"""`boot.img` and `boot.sig`, from which a Raspberry Pi 4 or 5 boots over HTTP: kernel, initramfs and firmware, signed.

The image is a FAT file system without a partition table, which the firmware keeps in memory, at most 128 MB
(rpi-eeprom, firmware-2711/release-notes.md, 2022-03-10). The signature file has its SHA-256 in hexadecimal, `ts: ` with
seconds since 1970 and `rsa2048: ` with an RSA signature (PKCS #1 v1.5, SHA-256) by a key of 2048 bits, as rpi-eeprom's
`rpi-eeprom-digest` writes it. Over HTTP the firmware takes nothing without it: it checks with the public key in the
board's EEPROM (Raspberry Pi documentation, "HTTP boot"). The same files make the same image.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from seeder.site.blobs import Blob
from swarmboot.errors import KeyFileError, MalformedSettingError, ResourceError, SpaceError, ToolMissingError
from swarmboot.host.files import write_whole
from swarmboot.host.programs import run_program

IMAGE_NAME, SIGNATURE_NAME = "boot.img", "boot.sig"
IMAGE_MAX_BYTES = 128 << 20
_KEY_BITS = 2048
_CLUSTER_BYTES, _SPARE_BYTES = 4096, 1 << 20
_BOUND_S = 120.0
_EPOCH_S = 315532800
"""The first of January 1980, before which FAT knows no time."""

_FIRMWARE = ("start4.elf", "fixup4.dat")
_TREES = ("bcm2711*.dtb", "bcm2712*.dtb")
_CONFIG = "arm_64bit=1\nkernel=kernel8.img\ninitramfs initramfs.img followkernel\nauto_initramfs=0\n"


Content = Path | Blob | bytes
"""A file of this machine, an image of the site, which is proved as it is copied, or what is in it."""


def boot_files(
    *, kernel: Blob, initramfs: Blob, cmdline: str, firmware: Path, trees: Path | None, more_config: str = ""
) -> dict[str, Content]:
    """Return what is in the image by its path there.

    `firmware` is the folder of Raspberry Pi's own files; device trees come from `trees`, the kernel's own, and from
    `firmware` where there are none. Raises MalformedSettingError without what a Pi needs, BlobError for a kernel or an
    initramfs that was altered.
    """
    for image in (kernel, initramfs):
        image.check()
    found: dict[str, Content] = {name: firmware / name for name in _FIRMWARE if (firmware / name).is_file()}
    own = pi_trees(trees) or pi_trees(firmware)
    found |= own
    if not own or (any(name.startswith("bcm2711") for name in own) and len(found) - len(own) < len(_FIRMWARE)):
        raise MalformedSettingError(
            f"{firmware} is not the folder of a Raspberry Pi's boot files",
            expected="start4.elf, fixup4.dat and bcm2711*.dtb for a Pi 4, bcm2712*.dtb for a Pi 5",
            found=", ".join(sorted(found)) or "none of them",
            hint="raspi-firmware (Debian, non-free-firmware) has them in /usr/lib/raspi-firmware",
        )
    overlays = sorted((firmware / "overlays").glob("*.dtbo")) if (firmware / "overlays").is_dir() else []
    found |= {f"overlays/{path.name}": path for path in overlays}
    found["config.txt"] = (_CONFIG + more_config).encode()
    found["cmdline.txt"] = f"{cmdline}\n".encode()
    return found | {"kernel8.img": kernel, "initramfs.img": initramfs}


def pi_trees(folder: Path | None) -> dict[str, Path]:
    """Return the device trees of Pis in a folder, by name."""
    found = (path for pattern in _TREES for path in sorted(folder.rglob(pattern))) if folder else ()
    return {path.name: path for path in found if path.is_file()}


def write_image(folder: Path, files: Mapping[str, Content], key: rsa.RSAPrivateKey | None, *, now_s: int) -> int:
    """Write both files into a folder, each replaced once it is whole; return the image's size in bytes.

    Raises SpaceError for more than a Pi loads, BlobError for an image that was altered, ToolMissingError and
    ResourceError.
    """
    size_bytes = _size_bytes(files)
    if size_bytes > IMAGE_MAX_BYTES:
        largest = max(files, key=lambda name: _length(files[name]))
        raise SpaceError(
            "the image is larger than a Raspberry Pi loads", expected=f"at most {IMAGE_MAX_BYTES >> 20} MiB",
            found=f"{size_bytes / (1 << 20):.0f} MiB, most of it {largest}", hint="a lean initramfs: docs/boot.md",
        )  # fmt: skip
    for program in ("mformat", "mcopy"):
        if shutil.which(program) is None:
            raise ToolMissingError(f"{program} is not installed", hint="apt install mtools")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".rpi.", dir=folder) as work:
        image = Path(work, IMAGE_NAME)
        _make(image, _lay_out(Path(work, "tree"), files), size_bytes)
        signature = signature_file(image, key, now_s=now_s)
        image.chmod(0o644)
        image.replace(folder / IMAGE_NAME)
    write_whole(folder / SIGNATURE_NAME, signature, mode=0o644)
    return size_bytes


def signature_file(image: Path, key: rsa.RSAPrivateKey | None, *, now_s: int) -> bytes:
    """Return what `boot.sig` is to say of an image; without a key only its digest."""
    with image.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    lines = [digest.hexdigest(), f"ts: {now_s}"]
    if key is not None:
        from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

        signed = key.sign(digest.digest(), padding.PKCS1v15(), Prehashed(hashes.SHA256()))
        lines.append(f"rsa2048: {signed.hex()}")
    return "".join(f"{line}\n" for line in lines).encode()


def read_key(path: Path) -> rsa.RSAPrivateKey:
    """Return the key in a PEM file; raise KeyFileError for any but an RSA key of 2048 bits."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no usable key: {error}", expected="a PEM file without a password") from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != _KEY_BITS:
        found = f"RSA of {key.key_size} bits" if isinstance(key, rsa.RSAPrivateKey) else "another kind of key"
        raise KeyFileError(
            f"{path} is of the wrong kind", expected="RSA of 2048 bits, all that a Raspberry Pi checks", found=found,
            hint="openssl genrsa -out pi.pem 2048",
        )  # fmt: skip
    return key


def _length(content: Content) -> int:
    if isinstance(content, Blob):
        return content.size_bytes
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _size_bytes(files: Mapping[str, Content]) -> int:
    """Return the size of a FAT that holds them, with some room to spare: whole clusters, the table twice, MiB."""
    content = sum(-(-_length(each) // _CLUSTER_BYTES) + 1 for each in files.values()) * _CLUSTER_BYTES
    tables = 2 * 4 * (content // _CLUSTER_BYTES)
    mib = 1 << 20
    return -(-(content + tables + _SPARE_BYTES) // mib) * mib


def _lay_out(tree: Path, files: Mapping[str, Content]) -> Path:
    """Put the files into a folder, all of one time."""
    for name, content in sorted(files.items()):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, Blob):
            content.copy(path)
        else:
            shutil.copyfile(content, path)
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (_EPOCH_S, _EPOCH_S))
    return tree


def _make(image: Path, tree: Path, size_bytes: int) -> None:
    """Make the file system; mtools takes the time from SOURCE_DATE_EPOCH."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(_EPOCH_S), "TZ": "UTC", "MTOOLS_SKIP_CHECK": "1"}
    sectors, cluster = str(size_bytes // 512), str(_CLUSTER_BYTES // 512)
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    folders = sorted({path.parent for path in files} - {tree})
    commands: list[tuple[str, ...]] = [
        ("mformat", "-i", str(image), "-T", sectors, "-c", cluster, "-N", "53574152", "-v", "BOOT", "-h", "64",
         "-s", "32", "::"),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(dir=tree.parent) as work:
        for folder in folders:  # an empty one with its time, which mmd does not set; then its files in their order
            empty = Path(work, folder.name)
            empty.mkdir()
            os.utime(empty, (_EPOCH_S, _EPOCH_S))
            commands.append(("mcopy", "-i", str(image), "-s", "-m", str(empty), "::"))
        for folder in (tree, *folders):
            own = [str(path) for path in files if path.parent == folder]
            target = "::" if folder == tree else f"::{folder.name}"
            commands.append(("mcopy", "-i", str(image), "-m", *own, target))
        for command in commands:
            run_program(command, bound_s=_BOUND_S, failure=ResourceError, environment=environment)
