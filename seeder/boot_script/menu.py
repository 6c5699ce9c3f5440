"""A boot menu for one machine, in iPXE's and GRUB's language: for whoever sits at its console; nobody need to. Pure.

The first item is taken when the time is over, so a machine without a console goes on by itself. What is chosen is asked
for as a word, `?item=`, which the server takes only if it is in this machine's menu. A load is then what it is without
a menu; a memory test comes from this server alone, and is checked as the trust demands. Follows ipxe.org/cmd/choose
(of 2019 as well, which knows no `--retimeout`) and the GRUB manual, section 6 and `menuentry`: after a key both wait.
Lines are literal templates filled in by `seeder.boot_script.grammar`, which quotes: no text is put together here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from seeder.boot_script.grammar import (
    CommandLine,
    Line,
    LoadOptions,
    Mac,
    Said,
    Source,
    Token,
    Url,
    grub,
    ipxe,
    text_of,
)
from seeder.boot_script.load import Stage0Trust
from swarmboot.ids import Digest

ITEMS_MAX = 9
"""One for each key from 1 to 9."""

MEMTEST_EFI, MEMTEST_BIOS = "/boot/memtest.efi", "/boot/memtest.bin"
_MEMTEST = Token("memtest")
_SILENCE_MS = Token("5000")


class Kind(StrEnum):
    """What an item does."""

    LOAD = "load"
    LOCAL = "local"
    MEMTEST = "memtest"


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a menu: what it does, the word that it is asked for by, and what a person reads."""

    kind: Kind
    word: Token
    said: Said


@dataclass(frozen=True, slots=True)
class MemoryTest:
    """The digests of a memory test for UEFI and for BIOS, None for one that is not there, and what it is told."""

    efi: Digest | None = None
    bios: Digest | None = None
    options: CommandLine = CommandLine(())  # noqa: RUF009 - frozen

    @property
    def is_there(self) -> bool:
        """Return whether there is one at all."""
        return self.efi is not None or self.bios is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """One machine's menu: after `seconds` the first of `items` is taken."""

    origin: Source
    mac: Mac
    seconds: int
    items: tuple[Item, ...]
    trust: Stage0Trust = Stage0Trust.ORIGIN_ONLY
    memtest: MemoryTest = MemoryTest()


def _label(number: int) -> Token:
    return Token("item" + str(number))


def ipxe_menu(menu: Menu) -> str:
    """Return the menu as a script of iPXE; one without menus takes the first item, as does Escape."""
    first = _label(1)
    lines = [ipxe("#!ipxe"), ipxe("menu swarmboot: what shall this machine boot? || goto <first>", first=first)]
    for number, item in enumerate(menu.items, start=1):
        key = Token(str(number))
        lines.append(ipxe("item --key <key> <label> <key>. <said>", key=key, label=_label(number), said=item.said))
    milliseconds = Token(str(menu.seconds * 1000))
    lines.append(ipxe("choose --default <first> --timeout <ms> chosen || goto <first>", first=first, ms=milliseconds))
    lines.append(ipxe("goto ${chosen}"))
    for number, item in enumerate(menu.items, start=1):
        lines += [ipxe(":<label>", label=_label(number)), *_ipxe_item(menu, item)]
    return text_of(
        [
            *lines,
            ipxe(":failed"),
            ipxe("echo swarmboot: that could not be started, the menu again in 2 s"),
            ipxe("imgfree"),
            ipxe("sleep 2"),
            ipxe("chain --replace <url> || goto failed", url=Url(menu.origin, "/boot.ipxe", menu.mac)),
        ]
    )


def _ipxe_item(menu: Menu, item: Item) -> list[Line]:
    if item.kind is Kind.LOAD:
        url = Url(menu.origin, "/boot.ipxe", menu.mac, item.word)
        return [ipxe("chain --replace <url> || goto failed", url=url)]
    if item.kind is Kind.LOCAL:
        # UEFI goes on with the next entry of its boot order only if this one has failed (specification, section 3.1.1)
        return [
            ipxe("iseq ${platform} efi && exit 1 ||"),
            ipxe("sanboot --no-describe --drive 0x80 || goto failed"),
        ]
    test = menu.memtest
    return [
        ipxe("iseq ${platform} efi && goto memtest_efi ||"),
        *_ipxe_memtest(menu, Url(menu.origin, MEMTEST_BIOS), test.bios),
        ipxe(":memtest_efi"),
        *_ipxe_memtest(menu, Url(menu.origin, MEMTEST_EFI), test.efi),
    ]


def _ipxe_memtest(menu: Menu, url: Url, digest: Digest | None) -> list[Line]:
    if digest is None:
        return [ipxe("echo swarmboot: this server has no memory test for ${platform}"), ipxe("goto failed")]
    template = "kernel --name <name> --timeout <ms> <url> <options> || goto failed"
    lines = [ipxe(template, name=_MEMTEST, ms=_SILENCE_MS, url=url, options=menu.memtest.options)]
    if menu.trust is Stage0Trust.IPXE_VERIFY:
        check = "sha256sum --set found <name> && iseq ${found} <digest> || goto failed"
        lines.append(ipxe(check, name=_MEMTEST, digest=Token(digest.hex())))
    return [ipxe("imgfree"), *lines, ipxe("boot || goto failed")]


def grub_menu(menu: Menu) -> str:
    """Return the menu as a grub.cfg."""
    lines = [
        grub("set timeout_style=menu"),
        grub("set timeout=<s>", s=Token(str(menu.seconds))),
        grub("set default=0"),
    ]
    for number, item in enumerate(menu.items, start=1):
        entry = "menuentry '<key>. <said>' --hotkey <key> --id <word> {"
        lines.append(grub(entry, key=Token(str(number)), said=item.said, word=item.word))
        lines += [*_grub_item(menu, item), grub("}")]
    return text_of(lines)


def _grub_item(menu: Menu, item: Item) -> list[Line]:
    if item.kind is Kind.LOAD:
        url = Url(menu.origin, "/grub.cfg", menu.mac, item.word)
        return [grub("    while true; do configfile <url>; sleep 2; done", url=url)]
    if item.kind is Kind.LOCAL:
        return [grub("    exit 1")]
    url, again = Url(menu.origin, MEMTEST_EFI), Url(menu.origin, "/grub.cfg", menu.mac)
    lines = [grub("    echo 'swarmboot: this server has no memory test that GRUB starts'")]
    if menu.memtest.efi is not None and menu.trust is not Stage0Trust.IPXE_VERIFY:
        options = LoadOptions(menu.memtest.options)
        lines = [grub("    if chainloader <url> <options>; then boot; fi", url=url, options=options)]
    return [*lines, grub("    sleep 2"), grub("    configfile <again>", again=again)]
