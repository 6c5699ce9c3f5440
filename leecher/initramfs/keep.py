"""Keeps the images that a machine has booted in its cache: `python -m leecher.initramfs.keep`, in the booted system.

Which release that was stands in the hand-off, and on which device its cache is. The cache is mounted in a namespace of
this process's own, which ends with it; root is needed for that, and given up before an image is read or written. It
will not format, check or repair anything.
"""

from __future__ import annotations

from leecher.initramfs import __main__ as initramfs

# isort: split
import ctypes
import json
import os
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NoReturn

from leecher.boot import hand_off
from leecher.boot.keeping import keep_images, lists_of
from leecher.cache.folder import IMAGES
from leecher.initramfs.node_settings import settings_of
from leecher.machine.console import tell
from leecher.origin.connection_pool import Connections, tls_context
from swarmboot.errors import ResourceError, SwarmbootError
from swarmboot.release import manifest as manifests
from swarmboot.release.manifest import Artifact

NOBODY = 65534
_NEW_NAMESPACE = 0x00020000
_NOSUID, _NODEV, _NOEXEC, _RECURSIVE, _PRIVATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 18


def mount_for_writing(device: str, folder: Path) -> None:
    """Mount an ext4 file system where this process alone sees it; raise ResourceError if it cannot be.

    See mount(2), unshare(2) and ext4(5): one with faults becomes read-only, whatever it says of itself.
    """
    call = ctypes.CDLL(None, use_errno=True)

    def checked(status: int) -> None:
        if status:
            found = os.strerror(ctypes.get_errno())
            raise ResourceError(f"the cache on {device} cannot be mounted for writing", found=found)

    checked(call.unshare(_NEW_NAMESPACE))
    checked(call.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None))
    flags, options = _NOSUID | _NODEV | _NOEXEC, b"errors=remount-ro"
    checked(call.mount(device.encode(), os.fsencode(folder), b"ext4", flags, options))


def give_to_nobody(cache: Path) -> None:
    """Make the folder of images, if there is none, and give it to the user that writes it; raises OSError."""
    with suppress(FileExistsError):
        (cache / IMAGES).mkdir(mode=0o755)
    descriptor = os.open(cache / IMAGES, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, NOBODY, NOBODY)
    finally:
        os.close(descriptor)


def keep(state: Path, *, mount: Callable[[str, Path], None] = mount_for_writing) -> None:
    """Keep what the hand-off below `state` names in the cache that it names; raises SwarmbootError and OSError."""
    folder, cache = state / hand_off.FOLDER, state / "cache"
    manifest = manifests.decode((folder / hand_off.KEEP).read_bytes())
    names = {image.name for image in hand_off.read(folder).images}
    artifacts = tuple(each for each in manifest.artifacts if each.name in names)
    mount((folder / hand_off.CACHE).read_text().strip(), cache)
    give_to_nobody(cache)
    is_proved = _is_proved(state / "boot.json", artifacts)
    initramfs.give_up_root()
    settings = settings_of({"into": str(state / "images"), "fleet_token": "", "secrets": "", "cache": "off"})
    with closing(Connections(tls_context(settings.ca), bind=settings.bind)) as connections:
        lists = lists_of(artifacts, {}, server=settings.server, connections=connections)
    keep_images(
        cache, artifacts, lists, into=settings.into, issued_s=manifest.issued_unix_s, is_proved=is_proved, tell=tell
    )


def _is_proved(report: Path, artifacts: tuple[Artifact, ...]) -> bool:
    """Return whether every byte of this boot came from the cache, as its report has it."""
    try:
        value: Any = json.loads(report.read_text())
        return bool(value["bytes_from"]["cache"] == sum(each.size_bytes for each in artifacts))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def main() -> NoReturn:
    """Keep what was booted, and exit with the error's own status if that cannot be."""
    initramfs.wait_for_the_window()
    try:
        keep(initramfs.STATE)
    except SwarmbootError as error:
        tell(str(error))
        sys.exit(error.exit_status)
    except OSError as error:
        tell(f"the cache cannot be written: {error.filename or 'its folder'}: {error.strerror}")
        sys.exit(ResourceError.exit_status)
    sys.exit(0)


if __name__ == "__main__":
    main()
