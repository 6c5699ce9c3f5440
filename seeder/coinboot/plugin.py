"""A plugin as Coinboot's create_plugin.py packs it, taken over: names from the root, and dpkg's list apart.

Its names begin with a slash, and /tmp/dpkg_status is what dpkg knows of the plugin's packages; Coinboot's init merges
that into the root's list at every boot. Everything else stays as it is. Equal bytes for equal plugins.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path
from typing import IO, cast

from swarmboot.errors import ReleaseError

STATUS = "tmp/dpkg_status"
_MOST_BYTES = 1 << 26
_FAULTS = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError)


def take_over(plugin: Path, to: Path, *, label: str) -> str | None:
    """Write the plugin again without dpkg's list, which is returned, None if there is none.

    Raises ReleaseError for an archive that is broken, or whose list is no text or is too large.
    """
    status: str | None = None
    try:
        with (
            tarfile.open(plugin, "r|gz", errorlevel=2) as tar,
            to.open("wb") as file,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=cast("IO[bytes]", packed), mode="w|", format=tarfile.PAX_FORMAT) as out,
        ):
            for member in tar:
                data = tar.extractfile(member) if member.isreg() else None
                if data is not None:  # a sparse file too is written whole
                    member.type = tarfile.REGTYPE
                member.name = member.name.lstrip("/")
                if member.islnk():
                    member.linkname = member.linkname.lstrip("/")
                member.pax_headers = {
                    key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY")
                }
                if _plain(member.name) == STATUS and data is not None:
                    status = _text(data.read(_MOST_BYTES + 1), label)
                elif member.name.strip("./"):
                    out.addfile(member, data)
                tar.members = []  # type: ignore[attr-defined]
    except _FAULTS as error:
        raise ReleaseError(f"{label} is no whole tar.gz", found=str(error)[:200], hint="pack it again") from error
    return status


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _text(data: bytes, label: str) -> str:
    if len(data) > _MOST_BYTES:
        raise ReleaseError(f"/{STATUS} of {label} is too large", expected=f"at most {_MOST_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ReleaseError(f"/{STATUS} of {label} is no text", expected="UTF-8") from error
