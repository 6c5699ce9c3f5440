"""Whether kernel and initramfs belong together, and to this fleet. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from seeder.initramfs.kernel import Kernel
from seeder.publish.check.finding import Finding, fatal, some
from seeder.publish.check.readers.initramfs import HOOK, Initramfs
from swarmboot.errors import SwarmbootError
from swarmboot.ids import KeyId
from swarmboot.release import trust
from swarmboot.release.storage import DRIVERS, Storage
from swarmboot.setting_values import OFF
from swarmboot.text.arguments import last_value
from swarmboot.text.units import format_size

_WORTH_BYTES = 1 << 20
"""What a lean initramfs must spare, about, to be worth a word."""


@dataclass(frozen=True, slots=True)
class Signing:
    """What the release is going to be signed with: which keys, the site's rotations, the fleet, the next number."""

    signers: frozenset[KeyId]
    rotations: tuple[bytes, ...] = ()
    fleet: str = ""
    sequence: int = 1


def check_kernel(kernel: Kernel, *, label: str) -> list[Finding]:
    """Return notes about a kernel."""
    if not kernel.compression or kernel.machine == "x86-64":
        return []
    return [
        Finding(
            f"{label} is packed with {kernel.compression} as a whole, which UEFI's and most iPXE's loaders do not take",
            expected="an Image",
            hint="unpack it, if machines do not load it by GRUB or U-Boot",
        )
    ]


def check_modules(kernel: Kernel, versions: list[str], *, root: str) -> list[Finding]:
    """Return a note if a root has modules, and none of them are the kernel's."""
    if not kernel.version or not versions or kernel.version in versions:
        return []
    return [
        Finding(
            f"{root} has modules of another kernel, which the booted system cannot load",
            expected=kernel.version,
            found=some(versions),
            hint="install the kernel's package in the root, or add its modules as a plugin",
        )
    ]


def check_versions(kernel: Kernel, initramfs: Initramfs, *, label: str) -> list[Finding]:
    """Return whether an initramfs's modules are the kernel's: without them there is no network and no squashfs."""
    if not kernel.version or not initramfs.modules or kernel.version in initramfs.modules:
        return []
    return [
        fatal(
            f"{label} has modules of another kernel than the release's",
            expected=kernel.version,
            found=some(sorted(initramfs.modules)),
            hint="build it for this kernel, or publish the kernel that it was built for",
        )
    ]


def check_machine(kernel: Kernel, initramfs: Initramfs, *, label: str) -> list[Finding]:
    """Return whether the leecher in an initramfs is for the kernel's machine."""
    if not kernel.machine or initramfs.runtime_machine in ("", kernel.machine):
        return []
    return [
        fatal(
            f"{label} holds a leecher for another machine than the kernel",
            expected=kernel.machine,
            found=initramfs.runtime_machine,
            hint="build it in a system of that machine type: `swarmboot hook build-initramfs --inside`",
        )
    ]


def check_unpackers(initramfs: Initramfs, packed: list[str], *, label: str) -> list[Finding]:
    """Return whether an initramfs can unpack the images of a release, `packed` being those in zstd."""
    if not packed or initramfs.has_zstd is not False:
        return []
    return [
        fatal(
            f"{label} cannot unpack zstd, as {some(packed)} is packed",
            expected="zstd in its leecher's image",
            found="none",
            hint="install zstd where it is built and run `swarmboot hook build-runtime` again, or pack with gzip",
        )
    ]


def check_storage(initramfs: Initramfs, storage: Storage | None, *, label: str) -> list[Finding]:
    """Return whether an initramfs has the driver of the file system that a release's storage has."""
    if storage is None or not initramfs.drivers or DRIVERS[storage.type] in initramfs.drivers:
        return []
    kind = fatal if storage.is_needed else Finding
    return [
        kind(
            f"{label} cannot mount {storage.source}: it has no driver for {storage.type}",
            expected=f"the module {DRIVERS[storage.type]}",
            found="none",
            hint=f"build it with --default storage={storage.type}, as in `swarmboot hook build-initramfs --lean`",
        )
    ]


def check_zram(initramfs: Initramfs, cmdlines: Iterable[str], *, label: str) -> list[Finding]:
    """Return a note if a command line of the release asks for compressed swap of which an initramfs has no driver."""
    values = (last_value(cmdline, "swarmboot.zram") for cmdline in cmdlines)
    wanted = next((value for value in values if value and value.lower() not in OFF), "")
    if not wanted or not initramfs.drivers or "zram" in initramfs.drivers:
        return []
    return [
        Finding(
            f"{label} cannot make the compressed swap of swarmboot.zram={wanted}: nodes boot without",
            expected="the module zram",
            found="none",
            hint=f"build it with --default zram={wanted}, as in `swarmboot hook build-initramfs --lean`",
        )
    ]


def check_weight(initramfs: Initramfs, packed_bytes: int, *, label: str) -> list[Finding]:
    """Return a note about an initramfs of so many bytes if much of it is nothing that a boot from the network needs."""
    spare_bytes = sum(initramfs.spare_bytes.values())
    others_bytes = initramfs.unpacked_bytes - initramfs.runtime_bytes  # the runtime is packed by itself
    if not spare_bytes or others_bytes <= 0:
        return []
    saved_bytes = (packed_bytes - initramfs.runtime_bytes) * spare_bytes / others_bytes
    if saved_bytes < _WORTH_BYTES:
        return []
    return [
        Finding(
            f"{label} holds modules for {some(list(initramfs.spare_bytes))}, which no boot from the network needs: "
            f"about {format_size(saved_bytes)} of the {format_size(packed_bytes)} that each machine loads",
            hint="build it with `swarmboot hook build-initramfs --lean`",
        )
    ]


def check_initramfs(initramfs: Initramfs, signing: Signing | None, *, label: str) -> list[Finding]:
    """Return whether an initramfs boots this release: has it the hook, and does it believe who signs?"""
    if not initramfs.has_hook:
        return [
            fatal(
                f"{label} is without swarmboot's hook",
                expected=f"/{HOOK}",
                found="none",
                hint="build it with `swarmboot hook build-initramfs`",
            )
        ]
    findings = _check_fleet(initramfs, signing, label=label) if signing is not None else []
    if initramfs.has_token:
        findings.append(
            Finding(
                f"{label} holds the fleet token, which whoever asks for stage 0 is then given",
                hint="keep that initramfs on the nodes' disks, and publish one without",
            )
        )
    return findings


def _check_fleet(initramfs: Initramfs, signing: Signing, *, label: str) -> list[Finding]:
    rebuild = "build it with this fleet's --trust, or sign with the keys that it believes"
    findings = []
    try:
        keys = trust.follow(
            trust.parse_public(initramfs.keys, where=f"{label}: /etc/swarmboot/fleet.pub"), signing.rotations
        )
    except SwarmbootError as error:
        findings.append(fatal(f"{label} believes no key of this site", found=str(error), hint=rebuild))
    else:
        if len(signing.signers & set(keys.keys)) < keys.threshold:
            findings.append(
                fatal(
                    f"{label} believes other keys than the ones that sign this release",
                    expected=f"{keys.threshold} of {_shown(signing.signers)}",
                    found=_shown(keys.keys),
                    hint=rebuild,
                )
            )
    fleet = initramfs.defaults.get("fleet", "")
    if fleet and signing.fleet and fleet != signing.fleet:
        findings.append(
            fatal(f"{label} boots another fleet's releases only", expected=signing.fleet, found=fleet, hint=rebuild)
        )
    floor = initramfs.defaults.get("floor", "0")
    if floor.isdigit() and int(floor) > signing.sequence:
        findings.append(
            fatal(
                f"{label} boots no manifest as old as this one will be",
                expected=f"a floor of at most {signing.sequence}",
                found=floor,
                hint="build it with a lower --floor, or publish into the site that it was built for",
            )
        )
    return findings


def _shown(names: object) -> str:
    return ", ".join(sorted(name.hex()[:16] for name in names)) or "none"  # type: ignore[attr-defined]
