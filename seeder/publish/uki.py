"""A unified kernel image in place of kernel and initramfs: one file that Secure Boot can check whole.

ukify(1) makes it, and signs it where it is given a key. It holds the release's command line too, and under Secure Boot
no other counts. An image that is signed is not the same bytes when it is made again, so it is kept in the site by what
it was made of. Nothing here is what a running node trusts: that is the manifest.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seeder.boot_script.grammar import CommandLine
from seeder.publish.release_dir import Release, ReleaseFile
from seeder.site.reader import all_vouched
from seeder.site.signers import own_keys
from swarmboot.errors import KeyFileError, ReleaseError, ToolMissingError
from swarmboot.host.programs import check_installed, run_program
from swarmboot.release import trust
from swarmboot.release.manifest import UNIFIED, Role
from swarmboot.setting_values import UNIFIED_WORD

NAME = "boot.efi"
_KEPT = "stage0/boot-{}.efi"
_TOOL_BOUND_S = 300
_PLACES = (Path("/usr/lib/systemd/ukify"),)


@dataclass(frozen=True, slots=True)
class Signing:
    """The key and the certificate that Secure Boot knows, both PEM."""

    key: Path
    certificate: Path


def check_unify(release: Release, site: Path, signing: Signing | None, keys: Sequence[Ed25519PrivateKey] = ()) -> None:
    """Raise what `unify` would for a program, a key or a file that is missing, before anything is written."""
    images = _only(release, Role.KERNEL), _only(release, Role.INITRAMFS)
    if not _is_ours(site / _KEPT.format(_fingerprint(release, images, signing)), site, keys):
        check_tools(signing)


def check_tools(signing: Signing | None) -> str:
    """Return where ukify is; raise ToolMissingError without it, or without sbsign where it is to sign."""
    tool = shutil.which("ukify") or next((str(path) for path in _PLACES if path.is_file()), None)
    if tool is None:
        raise ToolMissingError(
            "ukify is not installed", hint="apt install systemd-ukify (Debian 13), or leave out --uki"
        )
    if signing is not None:
        check_installed({"sbsign": "sbsigntool"})
    return tool


def unify(release: Release, site: Path, signing: Signing | None, keys: Sequence[Ed25519PrivateKey] = ()) -> Release:
    """Return the release with a unified kernel image in place of its kernel and initramfs.

    The one kept in the site is taken if a manifest that all of `keys` have signed names it: what lies there otherwise
    may be anybody's.

    Raises ToolMissingError without ukify, KeyFileError for a key that cannot be read, and ReleaseError without a kernel
    and an initramfs or if ukify fails.
    """
    kernel, initramfs = (_only(release, role) for role in (Role.KERNEL, Role.INITRAMFS))
    kept = site / _KEPT.format(_fingerprint(release, (kernel, initramfs), signing))
    if not _is_ours(kept, site, keys):
        kept.parent.mkdir(parents=True, exist_ok=True)
        stale = list(kept.parent.glob(_KEPT.rpartition("/")[2].format("*")))
        _make(kernel.path, initramfs.path, release.settings.cmdline, kept, signing)
        for path in (path for path in stale if path != kept):
            path.unlink(missing_ok=True)
    image = ReleaseFile(kept, NAME, NAME, Role.KERNEL, UNIFIED, kept.stat().st_size)
    others = tuple(file for file in release.files if file not in (kernel, initramfs))
    return replace(release, files=(image, *others), notes=(*release.notes, *_notes(release, signing)))


def _is_ours(kept: Path, site: Path, keys: Sequence[Ed25519PrivateKey]) -> bool:
    """Return whether an image is in the site that these keys have signed before."""
    if not keys or not kept.is_file():
        return False
    with kept.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    own = own_keys(keys).keys.values()
    signed = all_vouched(site, trust.key_set(own, threshold=len(own))).values()
    return any(image.sha256 == digest for manifest in signed for image in manifest.with_role(Role.KERNEL))


def _notes(release: Release, signing: Signing | None) -> list[str]:
    notes = []
    if signing is None:
        notes.append("the unified kernel image is not signed: give --secureboot-key and --secureboot-cert")
    if "swarmboot.server=" not in release.settings.cmdline:
        notes.append(
            "under Secure Boot the command line in the unified kernel image is the only one, and it lacks "
            "swarmboot.server=: put it into cmdline in release.toml"
        )
    return notes


def _only(release: Release, role: Role) -> ReleaseFile:
    found = [file for file in release.files if file.role is role and file.format != UNIFIED]
    if len(found) != 1:
        raise ReleaseError(
            f"{release.folder} holds no {role} for a unified kernel image",
            expected="vmlinuz and initramfs.img in it",
            found="not both",
        )
    return found[0]


def _fingerprint(release: Release, files: tuple[ReleaseFile, ...], signing: Signing | None) -> str:
    digest = hashlib.sha256(release.settings.cmdline.encode())
    for file in files:
        with file.path.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    if signing is not None:
        for path in (signing.key, signing.certificate):
            digest.update(hashlib.sha256(_read(path)).digest())
    return digest.hexdigest()[:16]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}", expected="a PEM file") from error


def told_cmdline(cmdline: CommandLine) -> str:
    """Return the image's command line; it does not begin with `@`, by which ukify would take it for a file's name."""
    own = f"swarmboot.stage0={UNIFIED_WORD}"
    return f"{own} {cmdline}" if str(cmdline).startswith("@") else f"{cmdline} {own}"


def _make(kernel: Path, initramfs: Path, cmdline: str, out: Path, signing: Signing | None) -> None:
    tool = check_tools(signing)
    temporary = out.with_suffix(".tmp")
    words = [
        f"--linux={kernel}",
        f"--initrd={initramfs}",
        f"--cmdline={told_cmdline(CommandLine.parse(cmdline))}",
        f"--output={temporary}",
    ]
    if signing is not None:
        words += ["--signtool=sbsign", f"--secureboot-private-key={signing.key}"]
        words += [f"--secureboot-certificate={signing.certificate}"]
    try:
        run_program((tool, "build", *words), bound_s=_TOOL_BOUND_S, failure=ReleaseError)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
