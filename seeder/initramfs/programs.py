"""Which programs of dracut's initramfs a network boot can do without, and which busybox(1) can stand for. Pure.

Named is what goes. What nobody has named stays, with the libraries that it links. It holds where systemd-networkd
brings the network up: scripts of other ways ask more of these programs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

BUSYBOX = "usr/bin/busybox"
APPLETS = frozenset({
    "awk", "cat", "chmod", "chown", "chroot", "cp", "dmesg", "echo", "grep", "ip", "less", "ln", "ls", "mawk", "mkdir",
    "mkfifo", "mknod", "mv", "rm", "rmdir", "sed", "sleep", "stat", "timeout", "tr", "uname",
})  # fmt: skip
"""Programs for which busybox can stand in scripts of dracut and of ours. Not readlink, whose -e it lacks, mount, whose
options systemd and we use, and what knows devices: kmod, blkid, udevadm."""
_SHELLS = frozenset({"bash", "dash", "sh"})
_BUS = re.compile(r"usr/(?:bin/(?:busctl|dbus-[^/]+|pgrep)|lib/systemd/system/(?:.+/)?dbus[^/]*|share/dbus-1/.+)")
"""The message bus, which networkd does without (dracut 106 leaves it out by itself), and what old scripts look for a
DHCP client with."""
_SPARE = re.compile(r"usr/bin/(?:findmnt|systemd-cgls)")
"""What dracut brings for comfort: its own ismounted() reads /proc/mounts without findmnt."""
_SPARE_LIBRARY = re.compile(r"lib(?:bpf|elf|dw|nss_systemd)[-.].+")
"""Libraries that nothing needs though systemd opens them by name: for settings that no unit in here has, for dumps of
core, for users of services that do not run in here."""
_OPENED = re.compile(rb"(?<![ -~])lib[A-Za-z0-9_+-]+\.so(?:\.[0-9]+)*(?=\0)")
"""The name of a library as it stands in a program: of one that is linked, or is opened by name (dlopen(3))."""
_OTHER_NETWORKS = frozenset({"NetworkManager", "connmand", "wickedd", "dhclient"})
_BASH = re.compile(rb"#! *(?:/usr)?/bin/(?:env +)?bash\b")
_SOURCED = re.compile(r"(?:.+/)?hooks/initqueue/settled/\d+-networkd-run\.sh")
"""dracut 106's, which has bash's name on its first line, is sourced by sh, and asks nothing of bash."""
_PROGRAM = re.compile(r"usr/s?bin/([^/]+)")


def has_networkd_alone(names: Iterable[str]) -> bool:
    """Return whether systemd-networkd, and nothing else, brings up the network of an initramfs with these files."""
    found = {name.rpartition("/")[2] for name in names}
    return "systemd-networkd" in found and not found & _OTHER_NETWORKS


def wants_bash(name: str, head: bytes) -> bool:
    """Return whether a file that begins so is a script for bash, which no other shell may be given."""
    return _BASH.match(head) is not None and _SOURCED.fullmatch(name) is None


def replaced(names: Collection[str], applets: Collection[str], *, is_bash_wanted: bool) -> frozenset[str]:
    """Return the programs in whose place a busybox with these applets is to be; none if that is no shell."""
    if BUSYBOX not in names or "sh" not in applets:
        return frozenset()
    able = APPLETS & {*applets, *({"mawk"} if "awk" in applets else ())} | (frozenset() if is_bash_wanted else _SHELLS)
    return frozenset(name for name in names if (found := _PROGRAM.fullmatch(name)) and found[1] in able)


def spare(names: Collection[str]) -> frozenset[str]:
    """Return the files that are dropped without anything in their place."""
    return frozenset(name for name in names if _SPARE.fullmatch(name) or _BUS.fullmatch(name))


def is_spare_library(name: str) -> bool:
    """Return whether a library is needed only where it is linked."""
    return _SPARE_LIBRARY.fullmatch(name.rpartition("/")[2]) is not None


def libraries_named(program: bytes) -> frozenset[str]:
    """Return the libraries that a program names, to be linked or opened, of which many need not be there."""
    return frozenset(found.decode() for found in _OPENED.findall(program))


def spare_libraries(
    links: Mapping[str, Collection[str]], dropped: Collection[str], borrowed: Collection[str]
) -> frozenset[str]:
    """Return the libraries that only the `dropped` link, or that nothing does.

    `links` has the files by name, each with those that it links; `borrowed` are needed by what is not among them.
    """
    candidates = _reached(links, dropped) - set(dropped)
    candidates |= {name for name in links if is_spare_library(name)}
    roots = {name for name in links if name not in candidates and name not in dropped}
    return frozenset(candidates - _reached(links, {*roots, *borrowed}))


def _reached(links: Mapping[str, Collection[str]], start: Iterable[str]) -> set[str]:
    reached: set[str] = set()
    left = list(start)
    while left:
        if (name := left.pop()) not in reached:
            reached.add(name)
            left += links.get(name, ())
    return reached
