"""Boot scripts of GRUB for one node: what `seeder.boot_script.ipxe` is for iPXE. Follows the GRUB manual, section 16.

Lines are literal templates filled in by `seeder.boot_script.grammar`, which quotes: no text is put together here.
"""

from __future__ import annotations

from dataclasses import replace

from seeder.boot_script.dialect import Dialect
from seeder.boot_script.grammar import CommandLine, Line, LoadOptions, Mac, Said, Source, Token, Url, grub, text_of
from seeder.boot_script.ipxe import machines, seconds
from seeder.boot_script.load import Load, Stage0, Stage0Trust
from seeder.boot_script.menu import grub_menu

_GRUB_CARDS = 8
_NO_ADDRESS = "echo 'swarmboot: GRUB has no network address: is a cable in, and does a DHCP server answer?'; sleep 10"


def grub_entry(origin: Source) -> str:
    """Return the grub.cfg for a GRUB that has not said who it is: it asks again with its MAC address.

    `net_default_mac` is set where GRUB came over the network; after `net_bootp` each card that was given an address has
    a variable of its own.
    """
    card = 'if [ -z "$mac" ]; then set mac=$net_efinet<number>_dhcp_mac; fi'
    cards = [grub(card, number=Token(str(number))) for number in range(_GRUB_CARDS)]
    again = grub("configfile <origin>/grub.cfg?mac=$mac", origin=origin)
    asked = grub('if [ -n "$mac" ]; then <again>; else <unknown>; fi', again=again, unknown=grub(_NO_ADDRESS))
    return text_of([grub("set timeout=0"), grub("set mac=$net_default_mac"), *cards, asked])


def _grub_again(origin: Source, mac: Mac, item: Token | None = None) -> Line:
    return grub("configfile <url>", url=Url(origin, "/grub.cfg", mac, item))


def grub_wait(origin: Source, mac: Mac, ahead: int, wait_s: int, item: Token | None = None) -> str:
    """Return the grub.cfg for a node whose turn has not come."""
    said = "echo 'swarmboot: <said> before this one, asking again in <s> s'"
    again = _grub_again(origin, mac, item)
    return text_of(
        [
            grub("set timeout=0"),
            grub(said, said=machines(ahead), s=seconds(wait_s)),
            grub("while true; do sleep <s>; <again>; done", s=seconds(wait_s), again=again),
        ]
    )


def grub_refusal(origin: Source, mac: Mac, reason: str) -> str:
    """Return the grub.cfg for a node that cannot be served now."""
    loop = "while true; do echo 'swarmboot: <reason>'; sleep 10; <again>; done"
    return text_of([grub("set timeout=0"), grub(loop, reason=Said(reason), again=_grub_again(origin, mac))])


def grub_boot(stage0: Stage0, load: Load) -> str:
    """Return the grub.cfg that loads and starts stage 0 from the first source that serves it.

    GRUB checks nothing of what it loads, so where iPXE is to check what neighbours send, GRUB asks none.
    """
    load = replace(load, neighbours=()) if load.trust is Stage0Trust.IPXE_VERIFY else load
    said = "echo 'swarmboot: <name>, manifest <number>, from <sources>'"
    lines = [
        grub("set timeout=0"),
        grub(said, name=Said(stage0.name), number=Token(str(stage0.sequence)), sources=load.said),
        *_grub_first([_grub_kernel(stage0, load.image(stage0.kernel, each), load.cmdline) for each in load.sources]),
    ]
    if stage0.initramfs is not None:
        holders = load.sources[-1:] if load.trust is Stage0Trust.SECUREBOOT else load.sources
        lines += _grub_first([_grub_initrd(load, load.image(stage0.initramfs, each)) for each in holders])
    loop = "while true; do sleep 2; <again>; done"
    return text_of(
        [
            *lines,
            grub("boot"),
            grub("echo 'swarmboot: no source has served this machine, asking again in 2 s'"),
            grub(loop, again=_grub_again(load.origin, load.mac)),
        ]
    )


def _grub_kernel(stage0: Stage0, url: Url, cmdline: CommandLine) -> Line:
    if stage0.is_unified:
        return grub("chainloader <url> <options>", url=url, options=LoadOptions(cmdline))
    return grub("linux <url> <cmdline>", url=url, cmdline=cmdline)


def _grub_initrd(load: Load, url: Url) -> Line:
    if load.has_node_image:
        return grub("initrd <node> <url>", node=load.node_image, url=url)
    return grub("initrd <url>", url=url)


def _grub_first(commands: list[Line]) -> list[Line]:
    """Return the lines that run commands until one succeeds."""
    first, *rest = commands
    return [
        grub("if <command>; then true", command=first),
        *(grub("elif <command>; then true", command=command) for command in rest),
        grub("else false"),
        grub("fi"),
    ]


GRUB = Dialect(grub_entry, grub_wait, grub_refusal, grub_boot, grub_menu)
