"""Unpacks what cannot be mounted: tar and cpio root images, Coinboot-style tar plugins, and all settings on top.

`python -m leecher.root image|layers|plugins FOLDER`. It opens its archives, then makes FOLDER its root directory
(chroot(2)), so that no name and no link in an archive can lead out of it; names with `..` are refused all the same, and
an absolute name counts from FOLDER. Plugins may bring device nodes, setuid or setgid files and file capabilities only
if the release allows them (`allow = ["devices", "setuid"]` in its release.toml); a root image may bring anything. The
stage `layers` looks for them in the squashfs plugins, mounted at FOLDER/1, FOLDER/2 and so on; it unpacks nothing. It
will not mount anything.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - nothing can be imported once the root has changed
import errno
import gzip
import os
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from leecher import handover as handovers
from leecher.handover import Handover, Image
from leecher.placing import place
from swarmboot.archive import KINDS, Entry, cpio_entries, refusal, tar_entries
from swarmboot.errors import ReleaseError, SpaceError, SwarmbootError

HANDOVER = Path("/run/swarmboot/handover")
SECRETS = Path("/etc/swarmboot/secret.env")
"""Where the new root finds the release's secret settings: mode 0600, in a folder that is made with mode 0700."""
_USAGE = 64
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EIO, errno.EROFS)


@contextmanager
def opened(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """Open an image of the format `kind` for reading what is compressed in it."""
    if kind.endswith(".gz"):
        with gzip.open(path, "rb") as file:
            yield file  # type: ignore[misc]
    elif kind.endswith(".zst"):
        with subprocess.Popen(("zstd", "-dcq", "--long=31", str(path)), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            yield process.stdout
        if process.returncode:
            raise ReleaseError(f"{path.name} cannot be unpacked", found=f"zstd ended with {process.returncode}")
    else:
        raise ReleaseError(f"{path.name} is of an unknown format", found=kind)


def unpack(image: Image, archive: IO[bytes], *, allow: tuple[str, ...] | None) -> int:
    """Unpack one image at / and return how many entries it had; `allow` is None for one that may bring anything.

    Raises ReleaseError for an entry that may not be there or an archive that is broken.
    """
    try:
        return _unpack(image, archive, allow)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReleaseError(f"{image.name} cannot be unpacked", found=str(error), hint="pack it again") from error


def _unpack(image: Image, archive: IO[bytes], allow: tuple[str, ...] | None) -> int:
    count = 0
    for entry in (cpio_entries if image.format.startswith("cpio") else tar_entries)(archive, name=image.name):
        if allow is not None:
            check_entry(entry, allow, image=image)
        _place(entry, image)
        count += 1
    return count


def _place(entry: Entry, image: Image) -> None:
    """Make an entry; raise ReleaseError if it cannot be, OSError if there is no room for it."""
    try:
        place(entry)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        raise ReleaseError(
            f"{image.name} holds {entry.name[:80]!r}, which cannot be made", found=error.strerror or str(error)
        ) from error


def check_entry(entry: Entry, allow: tuple[str, ...], *, image: Image) -> None:
    """Raise ReleaseError for an entry of a plugin that the release does not allow."""
    if word := refusal(entry, allow):
        raise ReleaseError(
            f"{image.name} brings {entry.name}, which the release does not allow",
            expected="plain files, folders and links",
            found=f"{entry.kind}, mode {entry.mode:o}",
            hint=f'take it out, or write allow = ["{word}"] into release.toml',
        )


def layer_entries(folder: Path) -> Iterator[Entry]:
    """Yield what is below a mounted layer. A whiteout, for overlayfs a character device 0:0, is nothing."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            status = path.lstat()
            kind = KINDS.get(stat.S_IFMT(status.st_mode), "")
            if kind != "character" or status.st_rdev:
                has_capability = kind == "file" and "security.capability" in os.listxattr(path, follow_symlinks=False)
                mode = stat.S_IMODE(status.st_mode)
                yield Entry(str(path.relative_to(folder)), kind, mode, has_capability=has_capability)


def check_layers(handover: Handover, folder: Path) -> None:
    """Raise ReleaseError if a squashfs plugin brings what the release does not allow."""
    plugins = [image for image in handover.images if image.role == "plugin" and image.format == "squashfs"]
    for number, image in enumerate(plugins, 1):
        for entry in layer_entries(folder / str(number)):
            check_entry(entry, handover.allow, image=image)


def _stage(handover: Handover, stage: str) -> tuple[list[Image], tuple[str, ...] | None]:
    """Return the images that a stage unpacks, and what they may bring."""
    role = {"image": "root", "plugins": "plugin"}[stage]
    images = [image for image in handover.images if image.role == role and image.format != "squashfs"]
    return images, handover.allow if stage == "plugins" else None


def run(stage: str, root: Path, *, tell: Callable[[str], None]) -> None:
    """Do one stage; raises SwarmbootError. The process's root directory is `root` afterwards."""
    handover = handovers.read(HANDOVER)
    if stage == "layers":
        check_layers(handover, root)
        return
    images, allow = _stage(handover, stage)
    secrets = _secrets() if stage == "plugins" else ""
    folder = os.open(handover.folder, os.O_PATH | os.O_DIRECTORY)
    old_root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    for image in images:
        with opened(Path(handover.folder) / image.name, image.format) as archive:
            _enter(root)
            tell(f"unpacked {unpack(image, archive, allow=allow)} entries of {image.name}")
            os.fchdir(old_root)
            os.chroot(".")
    os.close(folder)
    _enter(root)
    if stage == "plugins" and handover.env:
        path = Path("/etc/environment")
        old = path.read_text(errors="replace") if path.is_file() else ""
        path.write_text(handovers.environment_text(old, handover.env))
    if secrets:
        handovers.write_secret(SECRETS, secrets)


def _secrets() -> str:
    """Return the release's secret settings as they are to stand in the new root; nothing if it has none."""
    path = HANDOVER / handovers.SECRETS
    return path.read_text() if path.is_file() else ""


def _enter(root: Path) -> None:
    os.chroot(root)
    os.chdir("/")


def main() -> None:
    """Run the stage that the arguments name and exit with the error's own status."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("image", "layers", "plugins"):
        print("usage: python -m leecher.root image|layers|plugins FOLDER", file=sys.stderr)
        sys.exit(_USAGE)
    try:
        run(sys.argv[1], Path(sys.argv[2]), tell=_tell)
    except SwarmbootError as error:
        _tell(str(error))
        sys.exit(error.exit_status)
    except OSError as error:
        full = SpaceError(
            f"{error.filename or 'the root'}: {error.strerror or error}",
            hint="give the node more, or raise swarmboot.overlay",
        )
        _tell(str(full))
        sys.exit(full.exit_status)


def _tell(line: str) -> None:
    print(f"swarmboot: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
