"""Beside a release, what systemd needs to boot it without our hook: sums, their signature, a marker of freshness.

systemd-pull checks SHA256SUMS, and with a keyring its OpenPGP signature, that of `gpg` here and not ours; it passes
over BEST-BEFORE, which systemd-sysupdate heeds. Follows systemd-import-generator(8), importctl(1) and sysupdate.d(5).
"""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime

from seeder.publish.release_dir import Release
from seeder.site.systemd_files import SIGNATURE, SUMS, path_of, write_set
from seeder.site.writer import SiteWriter
from swarmboot.errors import KeyFileError, ReleaseError, ToolMissingError
from swarmboot.host.programs import run_program
from swarmboot.release.manifest import MOUNTED, Artifact, Manifest, Role

_GPG_BOUND_S = 300.0
_DAY_S = 86_400


def check_systemd(release: Release, key: str | None) -> None:
    """Raise ReleaseError for a root that systemd cannot boot, KeyFileError and ToolMissingError for the key."""
    formats = [file.format for file in release.files if file.role is Role.ROOT]
    if formats != [MOUNTED]:
        raise ReleaseError(
            "systemd boots no root image of this kind", expected="rootfs.squashfs", found=", ".join(formats),
            hint="leave out --systemd, or make a squashfs of it",
        )  # fmt: skip
    if key is None:
        return
    if shutil.which("gpg") is None:
        raise ToolMissingError("gpg is not installed", hint="apt-get install gpg gpg-agent, or leave out --systemd-key")
    run_program(
        ("gpg", "--batch", "--list-secret-keys", "--", key), bound_s=_GPG_BOUND_S, failure=KeyFileError,
        what=f"gpg, asked for the secret key {key},",
        hint="give a key of your gpg keyring by its fingerprint or address; `gpg --list-secret-keys` lists them",
    )  # fmt: skip


def write_systemd(writer: SiteWriter, manifest: Manifest, channel: str, key: str | None, *, day: str) -> None:
    """Write it for a release that is in the site, best before a day; `key` signs it. Raises KeyFileError for gpg."""
    root = manifest.with_role(Role.ROOT)[0]
    sums = sums_of(root, marker := f"BEST-BEFORE-{day}")
    files = {marker: b"", SUMS: sums}
    if key is not None:
        files[SIGNATURE] = _signature(writer, sums, key)
    write_set(writer, channel, (root.name, root.sha256), files)


def systemd_lines(manifest: Manifest, channel: str, key: str | None, *, day: str, is_dry: bool) -> list[str]:
    """Return what `publish` says of what it wrote for systemd, or would write: the kernel arguments as well."""
    root, where = manifest.with_role(Role.ROOT)[0], path_of(channel)
    would = "would write " if is_dry else ""
    signed = f"signed by {key}" if key is not None else "not signed: over HTTPS only"
    others = [artifact.name for artifact in manifest.with_role(Role.PLUGIN)]
    left_out = f"; without {', '.join(others)}, env/ and profiles, which systemd knows nothing of" if others else ""
    return [
        f"systemd: {would}{where}/{root.name}, {signed}, best before {day}{left_out}",
        f"systemd: {arguments(root, where, is_signed=key is not None)}",
    ]


def arguments(root: Artifact, where: str, *, is_signed: bool) -> str:
    """Return the kernel arguments that boot it, with SERVER for the server's address."""
    verify = "signature" if is_signed else "checksum"
    url = f"https://SERVER:8470/{where}/{root.name}"
    return (
        f"rd.systemd.pull=raw,machine,verify={verify},blockdev:rootfs:{url} "
        "root=/dev/disk/by-loop-ref/rootfs.raw rootfstype=squashfs systemd.volatile=overlay"
    )


def best_before(ends_unix_s: float, *, now_unix_s: float) -> str:
    """Return the last whole day (UTC) before the release ends, today at the earliest."""
    return datetime.fromtimestamp(max(now_unix_s, ends_unix_s - _DAY_S), UTC).strftime("%Y-%m-%d")


def sums_of(root: Artifact, marker: str) -> bytes:
    """Return SHA256SUMS as sha256sum(1) writes it: the image's sum, and that of the empty marker."""
    empty = hashlib.sha256().hexdigest()
    return f"{root.sha256.hex()}  {root.name}\n{empty}  {marker}\n".encode()


def _signature(writer: SiteWriter, data: bytes, key: str) -> bytes:
    with writer.workshop() as folder:
        (folder / SUMS).write_bytes(data)
        run_program(
            ("gpg", "--batch", "--yes", "--local-user", key, "--output", str(folder / SIGNATURE), "--detach-sign",
             str(folder / SUMS)),
            bound_s=_GPG_BOUND_S, failure=KeyFileError, what=f"gpg, asked to sign with {key},",
        )  # fmt: skip
        return (folder / SIGNATURE).read_bytes()
