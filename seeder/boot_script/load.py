"""One node's load of stage 0 as a value: what, from whom, in which order, and why the node may believe it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from seeder.boot_script.grammar import CommandLine, Mac, Said, Source, Token, Url
from swarmboot.release.manifest import Artifact, Manifest, Profile
from swarmboot.release.stage0 import image_path, stage0_images

KERNEL, INITRAMFS, NODE = Token("vmlinuz"), Token("initramfs.img"), Token("node.img")


_PREFIX = 16


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
    """One node's load: from the neighbours in order, and from the origin last; the kernel is given `cmdline`."""

    mac: Mac
    origin: Source
    cmdline: CommandLine
    neighbours: tuple[Source, ...] = ()
    trust: Stage0Trust = Stage0Trust.ORIGIN_ONLY
    has_node_image: bool = False

    @property
    def sources(self) -> tuple[Source, ...]:
        """Return whom to ask, in order."""
        return (*self.neighbours, self.origin)

    def image(self, artifact: Artifact, source: Source) -> Url:
        """Return where a source has an image."""
        return Url(source, image_path(artifact), self.mac)

    @property
    def node_image(self) -> Url:
        """Return where the origin has the node's own files."""
        return Url(self.origin, "/node.img", self.mac)

    @property
    def said(self) -> Said:
        """Return where the load comes from, for whoever looks at the console."""
        names = ["neighbour " + neighbour.host for neighbour in self.neighbours]
        return Said(", ".join([*names, "the server"]))


def stage0_of(manifest: Manifest) -> Stage0 | None:
    """Return a release's stage 0, or None if it has no kernel, or a kernel without an initramfs."""
    images = stage0_images(manifest)
    if not images:
        return None
    return Stage0(
        name=manifest.name,
        sequence=manifest.sequence,
        kernel=images[0],
        initramfs=images[1] if len(images) > 1 else None,
        cmdline=manifest.cmdline,
        profiles=manifest.profiles,
    )
