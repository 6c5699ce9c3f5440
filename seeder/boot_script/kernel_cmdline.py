"""A node's kernel command line, and what of a release boot scripts can carry: publish and the server ask the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seeder.boot_script.grammar import COMMAND_LINE_MAX, NAME_MAX, CommandLine, is_sayable
from seeder.boot_script.load import Stage0
from swarmboot.errors import ReleaseError
from swarmboot.release.manifest import Profile

_SHOWS_KEPT_SINCE = (6, 8)

OWN_MAX = 512
"""What is kept for the words that the server adds: the server, the stage 0, rack, profile and network card."""


def node_cmdline(
    stage0: Stage0,
    *,
    mac: str,
    server: str,
    rack: str = "",
    profile: Profile | None = None,
    named: str = "",
    is_kept: bool = False,
    channel: str = "",
) -> CommandLine:
    """Return a node's kernel command line: the release's, the profile's, then what this server adds.

    `named` is the profile that the rack map names, `channel` the one to boot if it is not the node's own; `is_kept`
    has the kernel keep its initramfs, for others, where it can be read again and there is room to say so. Raises
    ReleaseError if it is too long for the kernel or a word in it would be taken for script.
    """
    words = [*CommandLine.parse(stage0.cmdline).words, *CommandLine.parse(profile.cmdline if profile else "").words]
    if mac:
        words.append(f"BOOTIF=01-{mac.replace(':', '-')}")
    words += [f"swarmboot.server={server}", f"swarmboot.stage0={stage0.prefixes}"]
    if channel:
        words.append(f"swarmboot.channel={channel}")
    if rack:
        words.append(f"swarmboot.rack={rack}")
    if named:
        words.append(f"swarmboot.profile={named}")
    line = CommandLine(tuple(words))
    _check_length(str(line), COMMAND_LINE_MAX)
    kept = CommandLine((*words, "retain_initrd"))
    is_asked = is_kept and not stage0.is_unified and shows_kept_initramfs(stage0.kernel.version)
    return kept if is_asked and len(str(kept)) <= COMMAND_LINE_MAX else line


def shows_kept_initramfs(version: str) -> bool:
    """Return whether a kernel of this version has /sys/firmware/initrd: before Linux 6.8 what it keeps is only lost."""
    number = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", version)
    return number is not None and (int(number[1]), int(number[2])) >= _SHOWS_KEPT_SINCE


def check_carried(name: str, cmdline: str, profiles: tuple[Profile, ...]) -> None:
    """Raise ReleaseError if a boot script cannot carry a release's name, its command line or that of a profile."""
    for error in uncarried(name, cmdline, profiles):
        raise error


def uncarried(name: str, cmdline: str, profiles: tuple[Profile, ...]) -> Iterator[ReleaseError]:
    """Yield what a boot script cannot carry of a release's name, its command line and those of its profiles."""
    if not is_sayable(name):
        yield ReleaseError(
            "the release's name cannot be written into a boot script",
            expected=f"1 to {NAME_MAX} letters, digits, single spaces and . _ + : , / @ ( ) [ ] = ~ ! ? % * -",
            found=repr(name)[:80],
            hint="give it another name in release.toml",
        )
    try:
        own = CommandLine.parse(cmdline)
    except ReleaseError as error:
        yield error
        own = CommandLine(())
    for line in ("", *(profile.cmdline for profile in profiles)):
        try:
            _check_length(f"{own} {CommandLine.parse(line)}".strip(), COMMAND_LINE_MAX - OWN_MAX)
        except ReleaseError as error:
            yield error


def _check_length(line: str, most: int) -> None:
    if len(line) > most:
        raise ReleaseError(
            "the kernel command line is too long for the kernel",
            expected=f"at most {most} characters with the profile's",
            found=f"{len(line)}",
            hint="shorten cmdline in release.toml and publish again",
        )
