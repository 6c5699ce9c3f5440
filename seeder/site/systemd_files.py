"""What systemd fetches of a site by itself: a folder a release with its image, sums and signature, a link a channel.

    systemd/_<digest>/           never changed once a channel leads to it, but for its signature
        <image>                  a link to the blob
        SHA256SUMS[.gpg]         the image's sum and that of the marker
        BEST-BEFORE-<day>        empty
    systemd/<channel>            a link to one of these

The names are those that systemd-pull and systemd-sysupdate ask for (importctl(1), sysupdate.d(5)); no channel's begins
with `_`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from seeder.site.writer import SiteWriter
from swarmboot.ids import Digest
from swarmboot.release import layout

FOLDER = "systemd"
SUMS = "SHA256SUMS"
SIGNATURE = f"{SUMS}.gpg"


def path_of(channel: str) -> str:
    """Return where in the site the folder is that a channel leads to."""
    return f"{FOLDER}/{channel}"


def write_set(writer: SiteWriter, channel: str, image: tuple[str, Digest], files: Mapping[str, bytes]) -> None:
    """Write what goes with an image and have the channel lead to it, last of all."""
    folder = f"{FOLDER}/_{hashlib.sha256(files[SUMS]).hexdigest()[:16]}"
    writer.make_folder(folder)
    name, digest = image
    writer.link(f"{folder}/{name}", f"../../{layout.blob_path(digest)}")
    for relative, data in files.items():
        if not writer.holds_bytes(f"{folder}/{relative}", data):
            writer.write(f"{folder}/{relative}", data)
    if SIGNATURE not in files:
        writer.remove(f"{folder}/{SIGNATURE}")
    writer.link(path_of(channel), Path(folder).name)


def led_to(site: Path) -> dict[str, Path]:
    """Return the folders that channels lead to, by channel."""
    links = (path for path in (site / FOLDER).glob("[!_]*") if path.is_symlink())
    return {link.name: link.parent / link.readlink() for link in links}


def blobs_of(site: Path) -> Iterator[str]:
    """Yield the blobs that channels' folders lead to, as paths in the site: `prune` keeps them."""
    for folder in led_to(site).values():
        for path in folder.glob("*"):
            if path.is_symlink():
                yield f"blobs/{path.readlink().name}"


def drop_unled(writer: SiteWriter) -> None:
    """Take away the folders that no channel leads to."""
    kept = {folder.name for folder in led_to(writer.site).values()}
    for folder in (writer.site / FOLDER).glob("_*"):
        if folder.name not in kept:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
