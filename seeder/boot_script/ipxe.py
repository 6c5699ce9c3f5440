"""Boot scripts of iPXE for one node: what it loads, from whom, in which order, and what it does if that fails.

Pure: facts in, text out. For Debian's iPXE of 2019 as well as newer ones: HTTP only, `||` for failover. Its `--timeout`
is a limit on silence, not on the whole download (tried: 400 kB/s for 35 s passes a limit of 3 s). Every image is freed
before the next is tried, because iPXE under BIOS hands the kernel all the images it holds. `initrd=` names them for
iPXE under UEFI. The per-node image comes first: it is padded, so that what follows it is aligned. Follows
ipxe.org/cmd and the GRUB manual, section 16. It will not decide who may load when; that is `seeder.policy.admission`.
Lines are literal templates filled in by `seeder.boot_script.grammar`, which quotes: no text is put together here.
"""

from __future__ import annotations

from seeder.boot_script.dialect import Dialect
from seeder.boot_script.grammar import CommandLine, Line, Mac, Said, Source, Token, Url, ipxe, text_of
from seeder.boot_script.load import INITRAMFS, KERNEL, NODE, Load, Stage0, Stage0Trust
from seeder.boot_script.menu import ipxe_menu
from swarmboot.release.manifest import Artifact
from swarmboot.release.stage0 import image_path

SILENCE_S = 5
"""How long one source may send nothing before the next is tried."""

_SILENCE_MS = Token(str(SILENCE_S * 1000))


def _numbered(label: str, number: int) -> Token:
    return Token(label + str(number))


def _next(label: str, number: int, load: Load, *, failed: Token) -> Token:
    """Return the label of the source after this one, or `failed` behind the last."""
    return _numbered(label, number + 1) if number + 1 < len(load.sources) else failed


_FAILED = Token("failed")


def ipxe_entry(origin: Source) -> str:
    """Return the script for an iPXE that has not said who it is: it asks again with its MAC address."""
    url = Url(origin, "/boot.ipxe")
    ask = (
        "chain --replace <url>?mac=${netX/mac:hexhyp}&arch=${buildarch} || "
        "echo swarmboot: no answer, asking again in 2 s"
    )
    return text_of([ipxe("#!ipxe"), ipxe(":ask"), ipxe(ask, url=url), ipxe("sleep 2"), ipxe("goto ask")])


def ipxe_wait(origin: Source, mac: Mac, ahead: int, wait_s: int, item: Token | None = None) -> str:
    """Return the script for a node whose turn has not come: a few hundred bytes."""
    return text_of(
        [
            ipxe("#!ipxe"),
            ipxe(
                "echo swarmboot: <said> before this one, asking again in <s> s", said=machines(ahead), s=seconds(wait_s)
            ),
            ipxe(":wait"),
            ipxe("sleep <s>", s=seconds(wait_s)),
            ipxe("chain --replace <url> || goto wait", url=Url(origin, "/boot.ipxe", mac, item)),
        ]
    )


def machines(count: int) -> Said:
    """Return how many machines, in words."""
    return Said("1 machine" if count == 1 else str(count) + " machines")


def seconds(wait_s: int) -> Token:
    """Return a number of seconds."""
    return Token(str(wait_s))


def ipxe_refusal(origin: Source, mac: Mac, reason: str) -> str:
    """Return the script for a node that cannot be served now: the reason, and to ask again a little later."""
    return text_of(
        [
            ipxe("#!ipxe"),
            ipxe(":wait"),
            ipxe("echo swarmboot: <reason>", reason=Said(reason)),
            ipxe("sleep 10"),
            ipxe("chain --replace <url> || goto wait", url=Url(origin, "/boot.ipxe", mac)),
        ]
    )


def ipxe_boot(stage0: Stage0, load: Load) -> str:
    """Return the script that loads and starts stage 0: neighbours first, the origin last, then it asks again.

    Where the firmware decides, it does so when the kernel is started: then each source is tried up to there.
    """
    said = "echo swarmboot: <name>, manifest <number>, from <sources>"
    lines = [
        ipxe("#!ipxe"),
        ipxe(said, name=Said(stage0.name), number=Token(str(stage0.sequence)), sources=load.said),
        ipxe("imgfree"),
    ]
    if stage0.is_unified:
        lines.append(
            ipxe("iseq ${platform} efi || echo swarmboot: this release is one unified kernel image, for UEFI only")
        )
    if load.trust is Stage0Trust.SECUREBOOT:
        lines += _ipxe_started(stage0, load)
    else:
        lines += _ipxe_image(load, stage0.kernel, label="k", command="kernel", arguments=_ipxe_arguments(stage0, load))
        lines += _ipxe_node(stage0, load, failed=_FAILED)
        if stage0.initramfs is not None:
            lines += _ipxe_image(load, stage0.initramfs, label="i", command="initrd")
        lines.append(ipxe("boot || goto failed"))
    lines += [
        ipxe(":failed"),
        ipxe("echo swarmboot: no source has served this machine, asking again in 2 s"),
        ipxe("imgfree"),
        ipxe("sleep 2"),
        ipxe("chain --replace <url> || goto failed", url=Url(load.origin, "/boot.ipxe", load.mac)),
    ]
    return text_of(lines)


def _ipxe_arguments(stage0: Stage0, load: Load) -> CommandLine:
    """Return what stands behind the kernel's address."""
    if stage0.is_unified:
        return load.cmdline
    names = [*([NODE] if load.has_node_image else []), INITRAMFS]
    return CommandLine((*("initrd=" + name.text for name in names), *load.cmdline.words))


def _ipxe_node(stage0: Stage0, load: Load, *, failed: Token) -> list[Line]:
    """Return the line that loads a node's own files; a unified kernel image takes none beside its own."""
    if stage0.is_unified or not load.has_node_image:
        return []
    return [_ipxe_fetch("initrd", NODE, load.node_image, failed=failed)]


def _ipxe_fetch(
    command: str,
    name: Token,
    url: Url,
    *,
    failed: Token,
    arguments: CommandLine = CommandLine(()),  # noqa: B008 - frozen
) -> Line:
    return ipxe(
        "<command> --name <name> --timeout <ms> <url> <arguments> || goto <failed>" if arguments.words else
        "<command> --name <name> --timeout <ms> <url> || goto <failed>",
        command=Token(command), name=name, ms=_SILENCE_MS, url=url, arguments=arguments, failed=failed,
    )  # fmt: skip


def _ipxe_started(stage0: Stage0, load: Load) -> list[Line]:
    """Return the lines that start a kernel from each source in turn; what firmware does not check is the origin's."""
    lines = []
    for number, source in enumerate(load.sources):
        failed = _next("k", number, load, failed=_FAILED)
        url = load.image(stage0.kernel, source)
        lines += [ipxe(":<label>", label=_numbered("k", number)), ipxe("imgfree")]
        lines.append(_ipxe_fetch("kernel", KERNEL, url, failed=failed, arguments=_ipxe_arguments(stage0, load)))
        lines += _ipxe_node(stage0, load, failed=failed)
        if stage0.initramfs is not None:
            lines.append(_ipxe_fetch("initrd", INITRAMFS, load.image(stage0.initramfs, load.origin), failed=failed))
        said = "boot || echo swarmboot: this firmware does not start what <host> sent"
        lines += [ipxe(said, host=Said(source.host)), ipxe("goto <failed>", failed=failed)]
    return lines


def _ipxe_image(
    load: Load,
    artifact: Artifact,
    *,
    label: str,
    command: str,
    arguments: CommandLine = CommandLine(()),  # noqa: B008
) -> list[Line]:
    """Return the lines that load one image from the first source that serves it, checked if the trust asks for it."""
    name = KERNEL if label == "k" else INITRAMFS
    is_checked = load.trust is Stage0Trust.IPXE_VERIFY
    done = Token(label + "_loaded")
    lines = []
    for number, source in enumerate(load.sources):
        failed = _next(label, number, load, failed=_FAILED)
        lines.append(ipxe(":<label>", label=_numbered(label, number)))
        if number:
            lines.append(ipxe("imgfree <name> ||", name=name))
        lines.append(_ipxe_fetch(command, name, load.image(artifact, source), failed=failed, arguments=arguments))
        if is_checked:
            lines += _ipxe_check(load, artifact, name, done=done, failed=failed)
        else:
            lines.append(ipxe("goto <done>", done=done))
    return [*lines, ipxe(":<done>", done=done)]


def _ipxe_check(load: Load, artifact: Artifact, name: Token, *, done: Token, failed: Token) -> list[Line]:
    """Return the lines that accept an image by its digest (iPXE 2 with sha256sum) or by its signature (imgverify)."""
    digest = Token(artifact.sha256.hex())
    signature = Url(load.origin, image_path(artifact) + ".sig")
    by_digest = "sha256sum --set found <name> && iseq ${found} <digest> && goto <done> ||"
    return [
        ipxe(by_digest, name=name, digest=digest, done=done),
        ipxe("imgverify <name> <signature> && goto <done> ||", name=name, signature=signature, done=done),
        ipxe("echo swarmboot: <name> is not the one that was signed, or this iPXE cannot check it", name=name),
        ipxe("goto <failed>", failed=failed),
    ]


IPXE = Dialect(ipxe_entry, ipxe_wait, ipxe_refusal, ipxe_boot, ipxe_menu)
