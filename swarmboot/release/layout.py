"""Where things are in a site, as paths on disk and as paths under an origin's address; the two are the same.

    blobs/<sha256>               the artifacts
    torrents/<info-hash>.torrent BitTorrent v2 metadata
    manifests/<n>.swarm          signed manifest number n
    channels/<name>.swarm        signed pointer to one manifest
    keys/<version>.swarm         signed key sets, when keys were rotated
    secrets/<sha256>             settings sealed for the holders of the fleet token
    pins/<n>                     manifest number n is not to be pruned; for the publisher alone
    systemd/<name>/              what systemd fetches of the release that a channel has (`seeder.site.systemd_files`)
    canaries/<name>.swarm        signed: which machines boot another channel in place of this one; for the server alone

Everything but the channels and canaries is immutable. This module names and reads files; it will not write any.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from swarmboot.errors import MalformedSettingError, SiteError
from swarmboot.ids import MAX_SEQUENCE, Digest, InfoHash, Sequence

DEFAULT_CHANNEL = "stable"
TORRENT_MAX_BYTES = 1 << 26
MANIFEST_NAME = re.compile(rf"[1-9][0-9]{{0,{len(str(MAX_SEQUENCE)) - 1}}}\.swarm\Z")
"""A manifest's file name: its number in plain decimal digits."""
KEYS_NAME = re.compile(r"[1-9][0-9]{0,8}\.swarm\Z")
"""A rotation's file name: the version that it leads to."""
_CHANNEL_FILE = re.compile(r".*\.swarm\Z")
_RELEASE = "a release's directory"
_ROTATION_MAX_BYTES = 1 << 16
_FLEET_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_CHANNEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


def blob_path(sha256: Digest) -> str:
    """Return where an artifact's bytes are."""
    return f"blobs/{sha256.hex()}"


def torrent_path(info_hash: InfoHash) -> str:
    """Return where an artifact's torrent is."""
    return f"torrents/{info_hash.hex()}.torrent"


def manifest_path(sequence: Sequence) -> str:
    """Return where a signed manifest is."""
    return f"manifests/{sequence}.swarm"


def channel_path(name: str) -> str:
    """Return where a channel's signed pointer is."""
    return f"channels/{name}.swarm"


def keys_path(version: int) -> str:
    """Return where a rotation to the key set of that version is."""
    return f"keys/{version}.swarm"


def secrets_path(sha256: Digest) -> str:
    """Return where sealed settings are."""
    return f"secrets/{sha256.hex()}"


def pin_path(sequence: Sequence) -> str:
    """Return the file that keeps a manifest from being pruned."""
    return f"pins/{sequence}"


def canary_path(channel: str) -> str:
    """Return where it is said which machines boot another channel in place of this one."""
    return f"canaries/{channel}.swarm"


def is_channel_name(text: str) -> bool:
    """Return whether a text is a plain lower-case word, as a channel's name is."""
    return _CHANNEL_NAME.match(text) is not None


def check_channel_name(name: str) -> str:
    """Return `name`; raise MalformedSettingError if it is no plain lower-case word."""
    if not is_channel_name(name):
        raise MalformedSettingError(
            "not a channel name", expected="lower-case letters, digits, dots and dashes", found=repr(name[:80])
        )
    return name


def check_fleet_name(name: str) -> str:
    """Return `name`; raise MalformedSettingError if it is no word of letters, digits, dots, dashes and colons."""
    if not _FLEET_NAME.match(name):
        raise MalformedSettingError(
            "not a fleet's name", expected="letters, digits, dots and dashes, at most 64", found=repr(name[:80])
        )
    return name


def manifest_numbers(site: Path) -> list[Sequence]:
    """Return the numbers of the manifests that a site holds, rising."""
    return sorted(
        Sequence(int(path.stem)) for path in (site / "manifests").glob("*.swarm") if MANIFEST_NAME.match(path.name)
    )


def rotations(site: Path) -> list[bytes]:
    """Return the site's signed key sets, oldest first; raise SiteError for one that is too large or unreadable."""
    paths = [path for path in (site / "keys").glob("*.swarm") if KEYS_NAME.match(path.name)]
    return [_rotation(path) for path in sorted(paths, key=lambda path: int(path.stem))]


def _rotation(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_ROTATION_MAX_BYTES + 1)
    except OSError as error:
        raise SiteError(f"{path} cannot be read", found=error.strerror or "") from error
    if len(data) > _ROTATION_MAX_BYTES:
        raise SiteError(f"{path} is too large", expected=f"at most {_ROTATION_MAX_BYTES} bytes")
    return data


def _holds(folder: Path, names: re.Pattern[str]) -> bool:
    """Return whether a folder has a file of such a name; raise PermissionError if that cannot be seen."""
    try:
        return any(names.match(name) for name in os.listdir(folder))  # noqa: PTH208 - glob passes over errors
    except (FileNotFoundError, NotADirectoryError):
        return False


def _in_place_of_a_site(folder: Path) -> str:
    if not folder.exists():
        return "no such directory"
    if not folder.is_dir():
        return "a file"
    is_release = any(folder.glob("rootfs.*")) or (folder / "release.toml").is_file()
    return _RELEASE if is_release else "a directory without them"


def check_site(site: Path) -> Path:
    """Return `site`; raise SiteError if no release has been published there, or if it cannot be looked at."""
    try:
        is_published = _holds(site / "manifests", MANIFEST_NAME) and _holds(site / "channels", _CHANNEL_FILE)
        found = "" if is_published else _in_place_of_a_site(site)
    except PermissionError as error:
        hint = "run it as a user who may read it"
        raise SiteError(f"the site {site} cannot be read: {error.strerror}", hint=hint) from error
    if not is_published:
        raise SiteError(
            f"{site} is not a published site",
            expected="manifests/ and channels/ with something in them",
            found=found,
            hint="name the folder that it was published to, without --site `site` beside it"
            if found == _RELEASE
            else f"publish first: swarmboot publish release/ --site {shlex.quote(str(site))}",
        )
    return site
