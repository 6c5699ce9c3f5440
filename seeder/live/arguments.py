"""What becomes of a live image's kernel arguments: live-config's stay, live-boot's do not. Pure.

live-config(7) reads the kernel's command line in the booted system, and runs only where it has `boot=live`.
live-boot(7) (lib/live/boot/9990-cmdline-old) reads it in the initramfs for how to find the root and what to put over
it, which swarmboot does in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from swarmboot.errors import ReleaseError

DEFAULT = ("boot=live", "components")
"""What live-build writes if it is not told otherwise (functions/configuration.sh), less what only a screen shows."""

_FETCHED = "nodes fetch the root from the seeder and from each other, into RAM"
_NETWORK = (
    "live-boot's words for one machine's network; nodes ask DHCP, or take ip= as the kernel has it (docs/boot.md)"
)
_SIGNED = "the signed manifest pins every byte"
_UNION = "the root is an overlay with changes in RAM"
_REASONS = {
    "toram": _FETCHED, "fetch": _FETCHED, "httpfs": _FETCHED, "ftpfs": _FETCHED, "netboot": _FETCHED,
    "nfsroot": _FETCHED, "nfsopts": _FETCHED, "root": _FETCHED, "iscsi": _FETCHED, "findiso": _FETCHED,
    "fromiso": _FETCHED, "isofrom": _FETCHED, "bootfrom": _FETCHED, "live-media": _FETCHED,
    "live-media-path": _FETCHED, "live-media-offset": _FETCHED, "live-media-timeout": _FETCHED,
    "ignore_uuid": _FETCHED, "module": "which images make up the root is settled when it is published",
    "union": _UNION, "exposedroot": _UNION, "plainroot": _UNION, "skipunion": _UNION, "ramdisk-size": _UNION,
    "dns": _NETWORK, "dhcp": _NETWORK, "nodhcp": _NETWORK, "nonetworking": _NETWORK, "skipconfig": _NETWORK,
    "nofstab": "live-boot's; the image's own /etc/fstab is left as it is", "ethdevice-timeout": _NETWORK,
    "dm-verity-root-hash": _SIGNED, "dm-verity-oncorruption": _SIGNED, "dm-verity-enforce-roothash-signature": _SIGNED,
    "verify-checksums": _SIGNED, "swap": "disks of nodes are left alone", "read-only": "disks of nodes are left alone",
    "quickusbmodules": _FETCHED, "initrd": "the loader's own", "BOOTIF": "each machine's own", "---": "the installer's",
}  # fmt: skip
_KEEPS_CHANGES = ("persistence", "nfsoverlay", "todisk")
_KERNELS_IP = re.compile(r"(?:dhcp|on|any|both|off|none|[^,:]*(?::[^,:]*){5,8})\Z")
"""ip= as the kernel's nfsroot.rst has it; live-boot's own begins with a card's name and has commas between cards."""
_UNSAYABLE = re.compile(r"[\\']|\$|[^ -~]|\A#|\A(?:\|\||&&|;)\Z")


@dataclass(frozen=True, slots=True)
class Arguments:
    """A node's kernel arguments, and a line for each that was not taken over."""

    kept: tuple[str, ...]
    lost: tuple[str, ...]


NONE = Arguments((), ())
"""Where somebody says them in a release.toml of their own."""


def take_over(words: Iterable[str], *, label: str) -> Arguments:
    """Return what becomes of the arguments in a menu; raise ReleaseError if changes are to outlive a boot."""
    kept: list[str] = []
    lost: list[str] = []
    words = list(words)
    if "nopersistence" not in words:
        _refuse_persistence(words, label)
    for word in words:
        name, _, value = word.removeprefix("live-boot.").partition("=")
        if name == "overlay-size":
            kept.append(f"swarmboot.overlay={value}")
        elif why := _why_lost(word, name, value):
            lost.append(f"{label}: {word}: {why}")
        else:
            kept.append(f'{name}="{value}"' if " " in value else word)
    return Arguments(tuple(kept), tuple(lost))


def _why_lost(word: str, name: str, value: str) -> str:
    """Return why an argument is not taken over, nothing if it is."""
    if "${" in word and name in _REASONS:
        return _REASONS[name]
    if _UNSAYABLE.search(word):
        return "no boot script can hand it over as it is"
    if name == "ip" and not _KERNELS_IP.match(value):
        return _NETWORK
    if name.startswith(_KEEPS_CHANGES):
        return "nothing is kept on nodes"
    return _REASONS.get(name, "")


def _refuse_persistence(words: list[str], label: str) -> None:
    asked = [word for word in words if word.removeprefix("live-boot.").startswith(_KEEPS_CHANGES)]
    if asked:
        raise ReleaseError(
            f"{label} asks for changes to outlive a boot, which those of a node do not",
            expected="no persistence, nfsoverlay= or todisk= among the kernel arguments",
            found=" ".join(asked),
            hint="build the image with nopersistence in --bootappend-live, or write a release.toml beside live/",
        )
