"""Which machines are shown a boot menu, and which: lines `MAC-or-network SECONDS ITEM...`, the first that fits counts.

An item is `release` (what this server boots machines with), `channel:NAME` (what another channel points to), `local`
(the machine's own disk) or `memtest`. The first is taken after so many seconds. Pure: text in, values out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from seeder.boot_script.grammar import Said, Token
from seeder.boot_script.menu import ITEMS_MAX, Item, Kind
from seeder.stage0.machine_pattern import MachinePattern, parse_machine_pattern
from swarmboot.errors import MalformedSettingError, SwarmbootError
from swarmboot.release import layout
from swarmboot.text.spelling import did_you_mean

RELEASE, LOCAL, MEMTEST = "release", "local", "memtest"
_CHANNEL, _CHANNEL_WORD = "channel:", "channel-"
_SECONDS = re.compile(r"[1-9][0-9]{0,3}\Z")
_EXPECTED = "MAC-or-network SECONDS ITEM..., as in 52:54:00:12:* 10 release channel:edge local memtest"


@dataclass(frozen=True, slots=True)
class Choice:
    """One item of a menu as the operator wrote it; `channel` is the one to boot from if it is another."""

    name: str

    @property
    def channel(self) -> str:
        """Return the other channel that it boots from, nothing for anything else."""
        return self.name.removeprefix(_CHANNEL) if self.name.startswith(_CHANNEL) else ""

    @property
    def word(self) -> Token:
        """Return the word that it is asked for by."""
        return Token(_CHANNEL_WORD + self.channel if self.channel else self.name)


@dataclass(frozen=True, slots=True)
class MenuLine:
    """What machines of one group are shown, and for how long."""

    pattern: MachinePattern
    seconds: int
    choices: tuple[Choice, ...]

    def choice(self, word: str) -> Choice | None:
        """Return the item that a machine asks for, None if it is not in this menu."""
        return next((each for each in self.choices if each.word.text == word), None)


@dataclass(frozen=True, slots=True)
class MenuMap:
    """Who is shown which menu."""

    lines: tuple[MenuLine, ...] = ()

    def menu(self, mac: str, host: str) -> MenuLine | None:
        """Return what a machine is shown, None if it is to boot at once."""
        return next((line for line in self.lines if line.pattern.fits(mac, host)), None)

    @property
    def channels(self) -> tuple[str, ...]:
        """Return the other channels that are in menus."""
        return tuple(dict.fromkeys(each.channel for line in self.lines for each in line.choices if each.channel))

    @property
    def has_memtest(self) -> bool:
        """Return whether a memory test is in a menu."""
        return any(each.name == MEMTEST for line in self.lines for each in line.choices)


def parse_menu_map(text: str, *, where: str) -> MenuMap:
    """Return the menus in a file's text; raise MalformedSettingError naming `where` and the line."""
    lines = []
    for number, raw in enumerate(text.splitlines(), start=1):
        words = raw.partition("#")[0].split()
        if not words:
            continue
        here, items = f"{where}:{number}", words[2:]
        pattern = parse_machine_pattern(words[0])
        if pattern is None or not items or not _SECONDS.match(words[1]):
            raise MalformedSettingError(f"{here} is no line of a boot menu", expected=_EXPECTED, found=repr(raw[:80]))
        if len(set(items)) != len(items) or len(items) > ITEMS_MAX:
            raise MalformedSettingError(
                f"{here} is no line of a boot menu", expected=f"1 to {ITEMS_MAX} different items", found=repr(raw[:80])
            )
        lines.append(MenuLine(pattern, int(words[1]), tuple(_choice(each, here) for each in items)))
    return MenuMap(tuple(lines))


def _choice(name: str, where: str) -> Choice:
    if name in (RELEASE, LOCAL, MEMTEST):
        return Choice(name)
    try:
        if name.startswith(_CHANNEL):
            layout.check_channel_name(name.removeprefix(_CHANNEL))
            return Choice(name)
    except SwarmbootError as error:
        raise MalformedSettingError(f"{where}: {name[:80]!r} names no channel", expected=error.expected) from error
    known = (RELEASE, f"{_CHANNEL}NAME", LOCAL, MEMTEST)
    raise MalformedSettingError(
        f"{where}: a boot menu has no item {name[:80]!r}", expected=", ".join(known), hint=did_you_mean(name, known)
    )


def menu_item(choice: Choice, release: str) -> Item:
    """Return an item as it is shown; `release` says what is booted by one that boots a release."""
    if choice.name == LOCAL:
        return Item(Kind.LOCAL, choice.word, Said("the disk of this machine"))
    if choice.name == MEMTEST:
        return Item(Kind.MEMTEST, choice.word, Said("a test of its memory"))
    return Item(Kind.LOAD, choice.word, Said(release))
