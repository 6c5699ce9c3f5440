"""What U-Boot reads of a TFTP server, in PXELINUX's form: one entry, taken at once. Pure.

Follows U-Boot's doc/README.pxe and boot/pxe_utils.c: `pxe get` asks for `pxelinux.cfg/01-MAC`, then by its IPv4
address, then for `default-arm-...` down to `default-arm`, then for `default`; `arm` stands for 64 bits as well. What
`fdt` and `fdtdir` name it fetches only where it has `fdt_addr_r`; without them the kernel gets U-Boot's own tree.
Lines are literal templates filled in by `seeder.boot_script.grammar`: no text is put together here.
"""

from __future__ import annotations

from dataclasses import dataclass

from seeder.boot_script.grammar import CommandLine, Said, TftpPath, Token, extlinux, text_of

DEFAULTS = ("pxelinux.cfg/default-arm", "pxelinux.cfg/default")


@dataclass(frozen=True, slots=True, kw_only=True)
class UBootEntry:
    """What boards load: paths below the TFTP root. `fdt` is one device tree, `fdtdir` a folder that U-Boot chooses in.

    `has_mac` says that `cmdline` names the network card; else U-Boot is asked to.
    """

    name: Said
    kernel: TftpPath
    initramfs: TftpPath
    cmdline: CommandLine
    fdt: TftpPath | None = None
    fdtdir: TftpPath | None = None
    has_mac: bool = False


def u_boot_config(entry: UBootEntry) -> str:
    """Return the file; raise ReleaseError for a command line that U-Boot would alter."""
    lines = [
        extlinux("# written by swarmboot"),
        extlinux("default swarmboot"),
        extlinux("prompt 0"),
        extlinux("label swarmboot"),
        extlinux("menu label <name>", name=entry.name),
        extlinux("linux <path>", path=entry.kernel),
        extlinux("initrd <path>", path=entry.initramfs),
    ]
    if entry.fdt is not None:
        lines.append(extlinux("fdt <path>", path=entry.fdt))
    elif entry.fdtdir is not None:
        lines.append(extlinux("fdtdir <path>", path=entry.fdtdir))
    lines.append(extlinux("append <cmdline>", cmdline=entry.cmdline))
    if not entry.has_mac:
        lines.append(extlinux("ipappend <flags>", flags=Token("2")))  # BOOTIF=
    return text_of(lines)


def config_name(mac: str) -> str:
    """Return where U-Boot asks for the file of the machine with this MAC address (lower case, colons)."""
    return "pxelinux.cfg/01-" + mac.replace(":", "-")
