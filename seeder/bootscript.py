"""Boot scripts for one node: what iPXE or GRUB loads, from whom, in which order, and what it does if that fails.

Pure: facts in, text out. For Debian's iPXE of 2019 as well as newer ones: HTTP only, `||` for failover. Its `--timeout`
is a limit on silence, not on the whole download (tried: 400 kB/s for 35 s passes a limit of 3 s). Every image is freed
before the next is tried, because iPXE under BIOS hands the kernel all the images it holds. `initrd=` names them for
iPXE under UEFI. The per-node image comes first: it is padded, so that what follows it is aligned. Follows
ipxe.org/cmd and the GRUB manual, section 16. It will not decide who may load when; that is `seeder.admission`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from swarmboot.errors import ReleaseError
from swarmboot.ids import Digest
from swarmboot.manifest import UNIFIED, Artifact, Manifest, Profile, Role

SILENCE_S = 5
"""How long one source may send nothing before the next is tried."""

KERNEL, INITRAMFS, NODE = "vmlinuz", "initramfs.img", "node.img"
_MAC = re.compile(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\Z")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]|\$\{|'")
_PREFIX = 16
_GRUB_CARDS = 8


class Stage0Trust(StrEnum):
    """Why a node may believe the kernel that it loads before any of our code runs."""

    ORIGIN_ONLY = "origin-only"
    LAN = "lan"
    IPXE_VERIFY = "ipxe-verify"
    SECUREBOOT = "secureboot"

    @property
    def has_neighbours(self) -> bool:
        """Return whether neighbours may serve stage 0."""
        return self is not Stage0Trust.ORIGIN_ONLY

    @property
    def words(self) -> str:
        """Return what this means, in one sentence for the operator."""
        return _WORDS[self]


_WORDS = {
    Stage0Trust.ORIGIN_ONLY: "kernel and initramfs come from this server only, over plain HTTP: whoever can answer for "
    "this server's address on your network can give nodes another kernel",
    Stage0Trust.LAN: "nodes load kernel and initramfs from each other over plain HTTP and check neither: you trust "
    "every machine on this network, booted nodes included, to hand out the right kernel",
    Stage0Trust.IPXE_VERIFY: "nodes load kernel and initramfs from each other and iPXE checks both before it starts "
    "them: this needs an iPXE with imgverify or sha256sum; the script still comes from this server over plain HTTP",
    Stage0Trust.SECUREBOOT: "nodes load from each other what the firmware's Secure Boot checks, a unified kernel "
    "image, or a signed kernel, whose initramfs then comes from this server, unchecked: turn Secure Boot on in every "
    "node, nothing here can tell",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage0:
    """What the nodes of one release load before any of our code runs."""

    name: str
    sequence: int
    kernel: Artifact
    initramfs: Artifact | None
    cmdline: str
    profiles: tuple[Profile, ...] = ()

    @property
    def images(self) -> tuple[Artifact, ...]:
        """Return what a node loads: kernel and initramfs, or one unified kernel image that holds both."""
        return (self.kernel,) if self.initramfs is None else (self.kernel, self.initramfs)

    @property
    def is_unified(self) -> bool:
        """Return whether stage 0 is one unified kernel image."""
        return self.initramfs is None

    @property
    def size_bytes(self) -> int:
        """Return the bytes that one node loads."""
        return sum(image.size_bytes for image in self.images)

    @property
    def prefixes(self) -> str:
        """Return the beginnings of the digests, for `swarmboot.stage0=`."""
        return ",".join(image.sha256.hex()[:_PREFIX] for image in self.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One node's load: `origin` and `neighbours` are addresses as in `http://10.0.0.7:8471`, in the order to try.

    `has_signatures` says that the origin has detached signatures for imgverify.
    """

    mac: str
    origin: str
    cmdline: str
    neighbours: tuple[str, ...] = ()
    trust: Stage0Trust = Stage0Trust.ORIGIN_ONLY
    has_node_image: bool = False


def stage0_of(manifest: Manifest) -> Stage0 | None:
    """Return a release's stage 0, or None if it has no kernel, or a kernel without an initramfs."""
    kernels, images = manifest.with_role(Role.KERNEL), manifest.with_role(Role.INITRAMFS)
    if not kernels or not (images or kernels[0].format == UNIFIED):
        return None
    return Stage0(
        name=manifest.name,
        sequence=manifest.sequence,
        kernel=kernels[0],
        initramfs=None if kernels[0].format == UNIFIED else images[0],
        cmdline=manifest.cmdline,
        profiles=manifest.profiles,
    )


def parse_mac(text: str) -> str:
    """Return a MAC address in lower case with colons, or nothing for anything else."""
    lower = text.strip().lower()
    return lower.replace("-", ":") if _MAC.match(lower) else ""


def kernel_path(digest: Digest) -> str:
    """Return where a door serves the bytes with this digest, with a leading slash."""
    return f"/k/{digest.hex()}"


def node_cmdline(stage0: Stage0, *, mac: str, server: str, rack: str = "", profile: Profile | None = None) -> str:
    """Return a node's kernel command line: the release's, the profile's, then what this server adds.

    Raises ReleaseError if a word in it would be taken for script.
    """
    words = [*stage0.cmdline.split(), *(profile.cmdline.split() if profile else [])]
    if mac:
        words.append(f"BOOTIF=01-{mac.replace(':', '-')}")
    words += [f"swarmboot.server={server}", f"swarmboot.stage0={stage0.prefixes}"]
    if rack:
        words.append(f"swarmboot.rack={rack}")
    cmdline = " ".join(words)
    bad = [word for word in words if word in ("||", "&&") or word.startswith("#")]
    if bad or _UNSAFE.search(cmdline):
        raise ReleaseError(
            "the kernel command line cannot be written into a boot script",
            expected="words without quotes, ${ and control characters, none of them || or &&",
            found=repr(bad[0] if bad else cmdline)[:80],
            hint="correct cmdline in release.toml and publish again",
        )
    return cmdline


def ipxe_entry(origin: str) -> str:
    """Return the script for an iPXE that has not said who it is: it asks again with its MAC address."""
    return (
        "#!ipxe\n"
        f":ask\nchain --replace {origin}/boot.ipxe?mac=${{netX/mac:hexhyp}}&arch=${{buildarch}} || "
        "echo swarmboot: no answer, asking again in 2 s\nsleep 2\ngoto ask\n"
    )


def ipxe_wait(origin: str, mac: str, ahead: int, wait_s: int) -> str:
    """Return the script for a node whose turn has not come: a few hundred bytes."""
    return (
        "#!ipxe\n"
        f"echo swarmboot: {_machines(ahead)} before this one, asking again in {wait_s} s\n"
        f":wait\nsleep {wait_s}\nchain --replace {origin}/boot.ipxe?{_query(mac)} || goto wait\n"
    )


def _machines(count: int) -> str:
    return "1 machine" if count == 1 else f"{count} machines"


def _query(mac: str) -> str:
    return f"mac={mac.replace(':', '-')}"


def ipxe_refusal(origin: str, mac: str, reason: str) -> str:
    """Return the script for a node that cannot be served now: the reason, and another question a little later."""
    plain = re.sub(r"[^ -~]|[|&$#]", " ", reason)
    return (
        f"#!ipxe\n:wait\necho swarmboot: {plain}\nsleep 10\n"
        f"chain --replace {origin}/boot.ipxe?{_query(mac)} || goto wait\n"
    )


def ipxe_boot(stage0: Stage0, load: Load) -> str:
    """Return the script that loads and starts stage 0: neighbours first, the origin last, and the question again.

    Where the firmware decides, it does so when the kernel is started: then each source is tried up to there.
    """
    lines = ["#!ipxe", f"echo swarmboot: {stage0.name}, manifest {stage0.sequence}, from {_from(load)}", "imgfree"]
    if stage0.is_unified:
        lines.append("iseq ${platform} efi || echo swarmboot: this release is one unified kernel image, for UEFI only")
    if load.trust is Stage0Trust.SECUREBOOT:
        lines += _ipxe_started(stage0, load)
    else:
        lines += _ipxe_image(load, stage0.kernel, label="k", command="kernel", arguments=_ipxe_arguments(stage0, load))
        lines += _ipxe_node(stage0, load, failed="failed")
        if stage0.initramfs is not None:
            lines += _ipxe_image(load, stage0.initramfs, label="i", command="initrd")
        lines.append("boot || goto failed")
    lines += [
        ":failed",
        "echo swarmboot: no source has served this machine, asking again in 2 s",
        "imgfree",
        "sleep 2",
        f"chain --replace {load.origin}/boot.ipxe?{_query(load.mac)} || goto failed",
    ]
    return "\n".join(lines) + "\n"


def _from(load: Load) -> str:
    return ", ".join([*(f"neighbour {_host(url)}" for url in load.neighbours), "the server"])


def _host(url: str) -> str:
    return re.sub(r"\Ahttps?://|:[0-9]+\Z", "", url)


def _ipxe_arguments(stage0: Stage0, load: Load) -> str:
    """Return what stands behind the kernel's address."""
    if stage0.is_unified:
        return f" {load.cmdline}"
    names = [*([NODE] if load.has_node_image else []), INITRAMFS]
    return " ".join(["", *(f"initrd={name}" for name in names), load.cmdline])


def _ipxe_node(stage0: Stage0, load: Load, *, failed: str) -> list[str]:
    """Return the line that loads a node's own files; a unified kernel image takes none beside its own."""
    if stage0.is_unified or not load.has_node_image:
        return []
    return [_ipxe_fetch("initrd", NODE, f"{load.origin}/node.img?{_query(load.mac)}", failed=failed)]


def _ipxe_fetch(command: str, name: str, url: str, *, failed: str, arguments: str = "") -> str:
    return f"{command} --name {name} --timeout {SILENCE_S * 1000} {url}{arguments} || goto {failed}"


def _ipxe_started(stage0: Stage0, load: Load) -> list[str]:
    """Return the lines that start a kernel from each source in turn; what firmware does not check is the origin's."""
    sources = (*load.neighbours, load.origin)
    lines = []
    for number, source in enumerate(sources):
        failed = f"k{number + 1}" if number + 1 < len(sources) else "failed"
        url = f"{source}{kernel_path(stage0.kernel.sha256)}?{_query(load.mac)}"
        lines += [f":k{number}", "imgfree"]
        lines.append(_ipxe_fetch("kernel", KERNEL, url, failed=failed, arguments=_ipxe_arguments(stage0, load)))
        lines += _ipxe_node(stage0, load, failed=failed)
        if stage0.initramfs is not None:
            url = f"{load.origin}{kernel_path(stage0.initramfs.sha256)}?{_query(load.mac)}"
            lines.append(_ipxe_fetch("initrd", INITRAMFS, url, failed=failed))
        lines += [f"boot || echo swarmboot: this firmware does not start what {_host(source)} sent", f"goto {failed}"]
    return lines


def _ipxe_image(load: Load, artifact: Artifact, *, label: str, command: str, arguments: str = "") -> list[str]:
    """Return the lines that load one image from the first source that serves it, checked if the trust asks for it."""
    name = KERNEL if label == "k" else INITRAMFS
    is_checked = load.trust is Stage0Trust.IPXE_VERIFY
    sources = (*load.neighbours, load.origin)
    lines = []
    for number, source in enumerate(sources):
        failed = f"{label}{number + 1}" if number + 1 < len(sources) else "failed"
        url = f"{source}{kernel_path(artifact.sha256)}?{_query(load.mac)}"
        lines += [f":{label}{number}", *([f"imgfree {name} ||"] if number else [])]
        lines.append(_ipxe_fetch(command, name, url, failed=failed, arguments=arguments))
        if is_checked:
            lines += _ipxe_check(load, artifact, name, done=f"{label}_loaded", failed=failed)
        else:
            lines.append(f"goto {label}_loaded")
    return [*lines, f":{label}_loaded"]


def _ipxe_check(load: Load, artifact: Artifact, name: str, *, done: str, failed: str) -> list[str]:
    """Return the lines that accept an image by its digest (iPXE 2 with sha256sum) or by its signature (imgverify)."""
    digest = artifact.sha256.hex()
    return [
        f"sha256sum --set found {name} && iseq ${{found}} {digest} && goto {done} ||",
        f"imgverify {name} {load.origin}{kernel_path(artifact.sha256)}.sig && goto {done} ||",
        f"echo swarmboot: {name} is not the one that was signed, or this iPXE cannot check it",
        f"goto {failed}",
    ]


def grub_entry(origin: str) -> str:
    """Return the grub.cfg for a GRUB that has not said who it is: it asks again with its MAC address.

    `net_default_mac` is set where GRUB came over the network; after `net_bootp` each card that was given an address has
    a variable of its own.
    """
    cards = [f'if [ -z "$mac" ]; then set mac=$net_efinet{number}_dhcp_mac; fi' for number in range(_GRUB_CARDS)]
    unknown = "echo 'swarmboot: GRUB has no network address: is a cable in, and does a DHCP server answer?'; sleep 10"
    again = f"configfile {_grub_path(origin)}/grub.cfg?mac=$mac"
    lines = ["set timeout=0", "set mac=$net_default_mac", *cards]
    return "\n".join([*lines, f'if [ -n "$mac" ]; then {again}; else {unknown}; fi', ""])


def grub_wait(origin: str, mac: str, ahead: int, wait_s: int) -> str:
    """Return the grub.cfg for a node whose turn has not come."""
    again = f"configfile {_grub_path(origin)}/grub.cfg?{_query(mac)}"
    said = f"echo 'swarmboot: {_machines(ahead)} before this one, asking again in {wait_s} s'"
    return f"set timeout=0\n{said}\nwhile true; do sleep {wait_s}; {again}; done\n"


def grub_refusal(origin: str, mac: str, reason: str) -> str:
    """Return the grub.cfg for a node that cannot be served now."""
    plain = re.sub(r"[^ -~]|'", " ", reason)
    again = f"configfile {_grub_path(origin)}/grub.cfg?{_query(mac)}"
    return f"set timeout=0\nwhile true; do echo 'swarmboot: {plain}'; sleep 10; {again}; done\n"


def grub_boot(stage0: Stage0, load: Load) -> str:
    """Return the grub.cfg that loads and starts stage 0 from the first source that serves it."""
    sources = (*load.neighbours, load.origin)
    words = " ".join(f"'{word}'" for word in load.cmdline.split())
    node = f"{_grub_path(load.origin)}/node.img?{_query(load.mac)}" if load.has_node_image else ""
    command = "chainloader" if stage0.is_unified else "linux"
    loads = [
        _grub_first([f"{command} {_grub_path(each)}{_grub_file(stage0.kernel, load)} {words}" for each in sources])
    ]
    if stage0.initramfs is not None:
        holders = sources[-1:] if load.trust is Stage0Trust.SECUREBOOT else sources
        files = [f"{_grub_path(each)}{_grub_file(stage0.initramfs, load)}" for each in holders]
        loads.append(_grub_first([" ".join(f"initrd {node} {file}".split()) for file in files]))
    again = f"configfile {_grub_path(load.origin)}/grub.cfg?{_query(load.mac)}"
    return "\n".join(
        [
            "set timeout=0",
            f"echo 'swarmboot: {stage0.name}, manifest {stage0.sequence}, from {_from(load)}'",
            *(line for lines in loads for line in lines),
            "boot",
            "echo 'swarmboot: no source has served this machine, asking again in 2 s'",
            f"while true; do sleep 2; {again}; done",
            "",
        ]
    )


def _grub_first(commands: list[str]) -> list[str]:
    """Return the lines that run commands until one succeeds."""
    first, *rest = commands
    return [f"if {first}; then true", *(f"elif {command}; then true" for command in rest), "else false", "fi"]


def _grub_path(url: str) -> str:
    """Return a URL as GRUB writes it: `(http,10.0.0.1:8471)`; without the port where it is HTTP's own."""
    return f"(http,{url.removeprefix('http://').removesuffix(':80')})"


def _grub_file(artifact: Artifact, load: Load) -> str:
    return f"{kernel_path(artifact.sha256)}?{_query(load.mac)}"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One loader's language: `entry(origin)`, `wait(origin, mac, ahead, wait_s)`, `refusal(origin, mac, reason)`."""

    entry: Callable[[str], str]
    wait: Callable[[str, str, int, int], str]
    refusal: Callable[[str, str, str], str]
    boot: Callable[[Stage0, Load], str]


IPXE = Dialect(ipxe_entry, ipxe_wait, ipxe_refusal, ipxe_boot)
GRUB = Dialect(grub_entry, grub_wait, grub_refusal, grub_boot)
