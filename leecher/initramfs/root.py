"""Unpacks what cannot be mounted: tar and cpio root images, Coinboot-style tar plugins, and all settings on top.

`python -m leecher.initramfs.root image|layers|plugins|libraries FOLDER`. It opens its archives, then makes FOLDER its
root directory (chroot(2)), so that no name and no link in an archive can lead out of it; names with `..` are refused
all the same, and an absolute name counts from FOLDER. A character device 0:0 in a plugin takes its name away, as it
does in a layer. Plugins may bring device nodes, setuid or setgid files and file capabilities only if the release allows
them (`allow = ["devices", "setuid"]` in its release.toml); a root image may bring anything. The stage `layers` looks
for them in the squashfs plugins, mounted at FOLDER/1, FOLDER/2 and so on; it unpacks nothing. The stage `libraries` has
the root's own ldconfig(8) write its cache anew. Why a stage failed is told on the console and left in `failure` beside
the hand-off, for the seeder. It will not mount anything.
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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn

from leecher.boot import hand_off as hand_off_files
from leecher.boot.hand_off import HandOff, Image
from leecher.initramfs.own_files import ETC_HOSTS, entry_of, hosts_text
from leecher.initramfs.placing import place, take_away
from leecher.machine.console import tell
from leecher.machine.unpackers import check_unpackers
from swarmboot.archive import KINDS, Entry, cpio_entries, refusal, tar_entries
from swarmboot.errors import ReleaseError, ResourceError, SpaceError, SwarmbootError
from swarmboot.host.files import write_whole
from swarmboot.release.node_overlay import NodeFile, decode_files

HAND_OFF = Path("/run/swarmboot/handover")
SECRETS = Path("/etc/swarmboot/secret.env")
"""Where the new root finds the release's secret settings: mode 0600, in a folder that is made with mode 0700."""
FAILURE = "failure"
_OWN = Image("plugin", "nodes.gz", "the release's nodes/")
_STAGES = ("image", "layers", "plugins", "libraries")
_USAGE = 64
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)
_NO_DISK = (errno.EIO, errno.EROFS)
_LDCONFIG_S = 60.0


@contextmanager
def opened(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """Open an image of the format `kind` for reading what is compressed in it."""
    if kind.endswith(".gz"):
        with gzip.open(path, "rb") as file:
            yield file  # type: ignore[misc]
    elif kind.endswith(".zst"):
        check_unpackers([kind])
        with (  # given a link's name zstd would pass it over
            path.open("rb") as packed,
            subprocess.Popen(("zstd", "-dcq", "--long=31"), stdin=packed, stdout=subprocess.PIPE) as process,
        ):
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
    """Make an entry, or take away what a plugin's whiteout names.

    Raises SpaceError if there is no room for it, ReleaseError if it cannot be for another reason.
    """
    try:
        if entry.is_whiteout and image.role == "plugin":
            take_away(entry)
        else:
            place(entry)
    except RecursionError as error:
        raise ReleaseError(
            f"{image.name} takes away {entry.name[:80]!r}, in which too many folders are in one another",
            hint="take it out of the archive",
        ) from error
    except OSError as error:
        if error.errno in _NO_DISK:
            raise
        if error.errno in _NO_ROOM:
            raise SpaceError(
                f"there is no room for {entry.name[:80]!r} of {image.name}",
                found=error.strerror or str(error),
                hint="give the node more, or raise swarmboot.overlay",
            ) from error
        raise ReleaseError(
            f"{image.name} brings {entry.name[:80]!r} as a {entry.kind}, which cannot be made",
            found=obstacle(entry) or error.strerror or str(error),
            hint="take it out of the archive, or put it where it belongs",
        ) from error


def obstacle(entry: Entry) -> str:
    """Return what of the root stands in an entry's way: a folder in its place, or no folder on the way to it."""
    path = Path("/", entry.name)
    for parent in (*reversed(path.parents),):
        if (parent.exists() or parent.is_symlink()) and not parent.is_dir():
            kind = "a link that leads to no folder" if parent.is_symlink() else "no folder"
            return f"{parent} in the root, which is {kind}"
    is_folder = path.is_dir() and not path.is_symlink()
    return "a folder of that name in the root" if is_folder and entry.kind != "folder" else ""


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
    """Yield what is below a mounted layer, whiteouts among it as devices 0:0; raise OSError if not all can be seen."""

    def refuse(error: OSError) -> NoReturn:
        raise error

    for parent, folders, files in os.walk(folder, onerror=refuse):
        for name in (*folders, *files):
            path = Path(parent, name)
            status = path.lstat()
            kind = KINDS.get(stat.S_IFMT(status.st_mode), "")
            has_capability = kind == "file" and _has_capability(path)
            mode, name = stat.S_IMODE(status.st_mode), str(path.relative_to(folder))
            yield Entry(name, kind, mode, device=status.st_rdev, has_capability=has_capability)


def _has_capability(path: Path) -> bool:
    try:
        return "security.capability" in os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:  # what a squashfs without any answers for a file that has several names
            raise
        return False


def check_layers(hand_off: HandOff, folder: Path) -> None:
    """Raise ReleaseError if a squashfs plugin brings what the release does not allow."""
    plugins = [image for image in hand_off.images if image.role == "plugin" and image.format == "squashfs"]
    for number, image in enumerate(plugins, 1):
        try:
            for entry in layer_entries(folder / str(number)):
                check_entry(entry, hand_off.allow, image=image)
        except (OSError, RecursionError) as error:
            if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
                raise
            raise ReleaseError(
                f"{image.name} cannot be searched for what the release does not allow",
                found="too many folders in one another",
                hint="take them out of the plugin",
            ) from error


def _stage(hand_off: HandOff, stage: str) -> tuple[list[Image], tuple[str, ...] | None]:
    """Return the images that a stage unpacks, and what they may bring."""
    role = {"image": "root", "plugins": "plugin"}[stage]
    images = [image for image in hand_off.images if image.role == role and image.format != "squashfs"]
    return images, hand_off.allow if stage == "plugins" else None


def run(stage: str, root: Path, *, tell: Callable[[str], None]) -> None:
    """Do one stage; raises SwarmbootError. The process's root directory is `root` afterwards."""
    if stage == "libraries":
        tell(renew_library_cache(root))
        return
    hand_off = hand_off_files.read(HAND_OFF)
    if stage == "layers":
        check_layers(hand_off, root)
        return
    images, allow = _stage(hand_off, stage)
    secrets, own_files = (_secrets(), _own_files()) if stage == "plugins" else ("", ())
    folder = os.open(hand_off.folder, os.O_PATH | os.O_DIRECTORY)
    old_root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    for image in images:
        with opened(Path(hand_off.folder) / image.name, image.format) as archive:
            _enter(root)
            tell(f"unpacked {unpack(image, archive, allow=allow)} entries of {image.name}")
            os.fchdir(old_root)
            os.chroot(".")
    os.close(folder)
    _enter(root)
    lay_down(own_files, hand_off.hostname)
    if stage == "plugins" and hand_off.env:
        path = Path("/etc/environment")
        old = path.read_text(errors="replace") if path.is_file() else ""
        text = hand_off_files.environment_text(old, hand_off.env)
        write_whole(path, text.encode(errors="surrogateescape"), mode=0o644, is_flushed=False)
    if secrets:
        hand_off_files.write_secret(SECRETS, secrets)


def renew_library_cache(root: Path) -> str:
    """Have the root's own ldconfig write its cache and change nothing else; return what has been done.

    Raises ReleaseError if it fails or takes longer than a minute; a root without one has no such cache, and needs none.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    _enter(root)
    if not os.access("/sbin/ldconfig", os.X_OK):
        return "the root has no /sbin/ldconfig; its programs find libraries without"
    try:
        subprocess.run(
            ("/sbin/ldconfig", "-X"), stdin=nothing, stdout=nothing, stderr=nothing, timeout=_LDCONFIG_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ReleaseError("the root's ldconfig has failed", found=str(error)[:200]) from error
    return "several plugins bring libraries: the root's ld.so.cache is written anew"


def lay_down(files: tuple[NodeFile, ...], hostname: str) -> None:
    """Make a node's own files below /, and have its name lead to itself; raises ReleaseError and SpaceError."""
    for file in files:
        _place(entry_of(file), _OWN)
    if hostname and ETC_HOSTS not in (file.path for file in files):
        path = Path("/", ETC_HOSTS)
        old = path.read_text(errors="surrogateescape") if path.is_file() else ""
        if (text := hosts_text(old, hostname)) != old and not path.is_symlink():
            path.parent.mkdir(exist_ok=True)
            write_whole(path, text.encode(errors="surrogateescape"), mode=0o644, is_flushed=False)


def _own_files() -> tuple[NodeFile, ...]:
    """Return the files that this node alone gets; none if there are none."""
    path = HAND_OFF / hand_off_files.OWN_FILES
    return decode_files(path.read_bytes()) if path.is_file() else ()


def _secrets() -> str:
    """Return the release's secret settings as they are to stand in the new root; nothing if it has none."""
    path = HAND_OFF / hand_off_files.SECRETS
    return path.read_text() if path.is_file() else ""


def _enter(root: Path) -> None:
    os.chroot(root)
    os.chdir("/")


def main() -> None:
    """Run the stage that the arguments name and exit with the error's own status."""
    if len(sys.argv) != 3 or sys.argv[1] not in _STAGES:
        print(f"usage: python -m leecher.initramfs.root {'|'.join(_STAGES)} FOLDER", file=sys.stderr)
        sys.exit(_USAGE)
    beside = os.open(HAND_OFF, os.O_RDONLY | os.O_DIRECTORY)  # the root directory is another when something fails
    try:
        run(sys.argv[1], Path(sys.argv[2]), tell=tell)
    except SwarmbootError as error:
        _fail(error, beside)
    except OSError as error:
        what = f"{error.filename or 'the root'}: {error.strerror or error}"
        room = SpaceError(what, hint="give the node more, or raise swarmboot.overlay")
        _fail(room if error.errno in _NO_ROOM else ResourceError(what), beside)


def _fail(error: SwarmbootError, beside: int) -> NoReturn:
    tell(str(error))
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(FAILURE, flags, 0o644, dir_fd=beside), "w") as file:
            file.write(f"{error}\n")
    sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
