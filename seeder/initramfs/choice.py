"""Which modules and which firmware a boot from the network needs. Pure.

Named is what stays out, by subsystem; whatever is in none of them stays in, because a card may stand behind a bus, a
clock or a regulator that nobody thought of. What a module that stays needs stays too, wherever it is (modprobe.d(5):
dependencies, `softdep`, and since kmod 33 `weakdep`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from seeder.initramfs.groups import name_of
from swarmboot.errors import MalformedSettingError

OUT = {
    "disks": (
        "drivers/ata", "drivers/scsi", "drivers/md", "drivers/nvme", "drivers/block", "drivers/mmc", "drivers/mtd",
        "drivers/memstick", "drivers/firewire", "drivers/target", "drivers/message", "drivers/ufs", "drivers/cdrom",
        "drivers/nvdimm", "drivers/acpi/nfit", "drivers/dax", "drivers/s390/block", "drivers/usb/storage",
        "drivers/pci/controller/vmd", "block",
    ),
    "file systems": ("fs", "net/sunrpc", "net/ceph", "net/9p", "net/rxrpc"),
    "graphics and sound": ("drivers/gpu", "drivers/video", "drivers/media", "drivers/staging", "sound"),
    "wireless and other networks": (
        *(f"drivers/net/{name}" for name in (
            "wireless", "wwan", "can", "hamradio", "wan", "ppp", "slip", "wireguard", "vxlan", "geneve", "macsec",
            "ipvlan", "vrf", "tap", "tun", "eql", "amt", "gtp", "bareudp", "pfcp", "nlmon", "vsockmon", "xen-netback",
        )),
        *(f"net/{name}" for name in ("wireless", "mac80211", "bluetooth", "nfc", "can", "sctp", "vmw_vsock")),
        "drivers/infiniband", "drivers/bluetooth", "drivers/nfc", "drivers/isdn",
    ),
    "game controllers and sensors": (
        *(f"drivers/hid/hid-{name}" for name in (
            "nintendo", "playstation", "sony", "steam", "wiimote", "nvidia-shield", "thrustmaster", "led",
            "multitouch", "sensor-hub", "sensor-custom",
        )),
        "drivers/hid/amd-sfh-hid", "drivers/hid/intel-ish-hid", "drivers/hid/wacom", "drivers/iio",
    ),
    "modems and tablets": ("drivers/bus/mhi", "drivers/platform/surface", "drivers/hid/surface-hid"),
    "cryptography": ("crypto", "drivers/crypto"),
    "libraries of others": ("lib",),
}  # fmt: skip
"""Subsystems that no network boot needs, by a word for them; libraries stay where a module that stays needs them."""
_SPARE_FILE = re.compile(r"(?:usr/lib|lib|etc)/udev/(?:hwdb\.bin|hwdb\.d/.+|(?:ata|scsi|cdrom|v4l)_id)")
_ARCH_CRYPTO = re.compile(r"arch/[^/]+/crypto/")

NEEDED = frozenset({
    "loop", "squashfs", "overlay", "fuse", "erofs", "af_packet", "autofs4", "efivarfs", "configfs",
    "crc32c_generic", "crc32c_intel", "crc32c_arm64", "crc32c_cryptoapi", "crc32_pclmul", "libcrc32c",
})  # fmt: skip
"""What stays wherever it lies: for the images, for the initramfs's own system, and checksums that drivers ask for."""
FOR_A_CACHE = frozenset({
    "ext4", "virtio_blk", "virtio_scsi", "nvme", "ahci", "sd_mod", "mmc_block", "xen_blkfront", "hv_storvsc",
})  # fmt: skip
"""What stays as well where nodes keep a cache on a disk of theirs (docs/decisions/0060), with what it needs."""
FOR_STORAGE = {
    "nfs": frozenset({"nfs", "nfsv3"}),
    "nfs4": frozenset({"nfs", "nfsv4"}),
    **{name: frozenset({name, *(FOR_A_CACHE - {"ext4"})}) for name in ("ext4", "xfs", "btrfs")},
}
"""What stays as well for a release's storage of each type (docs/decisions/0069), with what it needs."""
FOR_ZRAM = frozenset({"zram", "zstd", "lz4", "lzo_rle"})
"""What stays as well where nodes swap to compressed RAM, with what it needs: older kernels' zram asks for the ways to
compress by name."""
_CARDS = re.compile(
    r"drivers/net/(?:(?:ethernet|usb|fddi|hyperv|fjes|thunderbolt)/(?!.*mdio[^/]*\Z)"
    r"|(?:virtio_net|vmxnet3/vmxnet3|xen-netfront)\Z)"
)
"""Drivers of cards; an MDIO bus, by which a card reaches its PHY, is a device of its own among them."""
_ALSO_LISTED = re.compile(r"drivers/(?:net/dsa|s390/net)/")
"""What has network interfaces too, and stays with any list."""
_BY_DRIVERS = "auxiliary:"
"""The bus of devices that the driver of another device makes."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What modules need: by place below the kernel's version what depmod(8) found, and by name what is asked for.

    What is asked for may be an alias, as `crc32c`, which several modules have. `found` are the names of those that a
    device on a bus asks for, rather than another driver.
    """

    depends: Mapping[str, tuple[str, ...]]
    asks: Mapping[str, tuple[str, ...]]
    aliases: Mapping[str, tuple[str, ...]]
    found: frozenset[str] = frozenset()


def parse_needs(dep: str, soft: str, alias: str) -> Needs:
    """Return what stands in modules.dep, in modules.softdep and modules.weakdep together, and in modules.alias."""
    depends = {}
    for line in dep.splitlines():
        module, _, others = line.partition(":")
        depends[_place(module)] = tuple(map(_place, others.split()))
    asks: dict[str, tuple[str, ...]] = {}
    for line in soft.splitlines():
        word, *names = line.split() or [""]
        if word in ("softdep", "weakdep") and names:
            wanted = (name_of(name) for name in names[1:] if not name.endswith(":"))
            asks[name_of(names[0])] = (*asks.get(name_of(names[0]), ()), *wanted)
    aliases: dict[str, tuple[str, ...]] = {}
    patterns = _aliases(alias)
    for pattern, module in patterns:
        if not set(pattern) & set("*?["):
            aliases[name_of(pattern)] = (*aliases.get(name_of(pattern), ()), module)
    found = {module for pattern, module in patterns if ":" in pattern and not pattern.startswith(_BY_DRIVERS)}
    return Needs(depends, asks, aliases, frozenset(found))


def _aliases(text: str) -> list[tuple[str, str]]:
    """Return the lines of modules.alias: a pattern, and the name of a module that it stands for."""
    return [(words[1], name_of(words[2])) for line in text.splitlines() if len(words := line.split()) == 3]


def _place(word: str) -> str:
    return re.sub(r"\.ko(?:\.\w+)?\Z", "", word)


def why_out(module: str) -> str:
    """Return the word of OUT for a module at this place, nothing if it stays whether or not another needs it."""
    place = module.removeprefix("kernel/")
    if place == module or name_of(module) in NEEDED:
        return ""  # built outside the kernel's tree, by whoever runs this machine
    if _ARCH_CRYPTO.match(place):
        return "cryptography"
    return next((word for word, folders in OUT.items() if any(_is_in(place, folder) for folder in folders)), "")


def _is_in(place: str, folder: str) -> bool:
    return place == folder or place.startswith(f"{folder}/")


def has_cache(defaults: str) -> bool:
    """Return whether what is baked into an initramfs, as lines of name=value, has its nodes look for a cache."""
    return re.search(r"^cache=(?:LABEL=|UUID=|/)", defaults, re.MULTILINE) is not None


def storage_types(defaults: str) -> tuple[str, ...]:
    """Return the file systems of storage that what is baked into an initramfs names."""
    found = re.search(r"^storage=([a-z0-9,]+)", defaults, re.MULTILINE)
    return tuple(name for name in (found[1].split(",") if found else ()) if name in FOR_STORAGE)


def has_zram(defaults: str) -> bool:
    """Return whether what is baked into an initramfs has its nodes swap to compressed RAM."""
    return re.search(r"^zram=(?:[1-9]|on|yes|true)", defaults, re.MULTILINE | re.IGNORECASE) is not None


def also_kept(defaults: str) -> frozenset[str]:
    """Return the names of modules that what is baked into an initramfs has stay beside those of every boot."""
    kept = FOR_A_CACHE if has_cache(defaults) else frozenset()
    kept |= FOR_ZRAM if has_zram(defaults) else frozenset()
    return kept.union(*(FOR_STORAGE[name] for name in storage_types(defaults)))


def is_spare_file(path: str) -> bool:
    """Return whether a file that is no module is of use to disks alone, or is udev's database of names (hwdb(7)).

    The database gives devices vendors and a few keyboards other keys; Debian 12's initramfs has never had it.
    """
    return _SPARE_FILE.fullmatch(path) is not None


def is_card(module: str) -> bool:
    """Return whether a module is the driver of a network card, rather than what such drivers share."""
    return _CARDS.match(module.removeprefix("kernel/")) is not None


def _folder(module: str) -> str:
    return module.rpartition("/")[0]


def _is_listed(module: str) -> bool:
    """Return whether a list of cards may name a module: it stays then, and has network interfaces.

    What those who run this machine have built themselves is taken at its word.
    """
    place = module.removeprefix("kernel/")
    return not why_out(module) and (place == module or is_card(module) or _ALSO_LISTED.match(place) is not None)


def chosen(
    modules: Collection[str], needs: Needs, *, cards: Collection[str] | None = None, also: Collection[str] = ()
) -> frozenset[str]:
    """Return the modules that stay, of all that there are, `also` those of these names; with `cards` of no other card.

    The driver of a card may be in two halves, as mlx4_core and mlx4_en, where the one that finds the card asks for the
    other when it sees which card it is: what no device asks for stays with the cards that lie beside it.
    """
    by_name = {name_of(module): module for module in modules}
    beside = {_folder(by_name[name]) for name in cards or () if name in by_name}

    def is_out(module: str) -> bool:
        if name_of(module) in also:
            return False
        is_half = name_of(module) not in needs.found and _folder(module) in beside
        return bool(why_out(module)) or (
            cards is not None and is_card(module) and name_of(module) not in cards and not is_half
        )

    left = [module for module in modules if not is_out(module)]
    stay: set[str] = set()
    while left:
        module = left.pop()
        if module in stay or module not in modules:
            continue
        stay.add(module)
        left += needs.depends.get(module, ())
        for asked in needs.asks.get(name_of(module), ()):
            left += [by_name[name] for name in (asked, *needs.aliases.get(asked, ())) if name in by_name]
    return frozenset(stay)


def card_lines(text: str, *, label: str) -> list[tuple[int, str]]:
    """Return the numbered lines of a list of cards that are no comment; MalformedSettingError if there is none."""
    words = [(number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), start=1)]
    if found := [(number, word) for number, word in words if word]:
        return found
    raise MalformedSettingError(f"{label} names no card", expected="the name of a module or a modalias, a line each")


def cards_named(text: str, aliases: str, modules: Iterable[str], *, label: str) -> frozenset[str]:
    """Return the modules that a list of cards names: module names and modaliases, a line each, `#` for comments.

    `aliases` is modules.alias. Raises MalformedSettingError for a line that names no driver of a card, or without one.
    """
    there = {name_of(module) for module in modules if _is_listed(module)}
    patterns = _aliases(aliases)
    found: set[str] = set()
    for number, word in card_lines(text, label=label):
        names = _drivers(word, patterns)
        if not names & there:
            raise MalformedSettingError(
                f"{label}, line {number}: no driver of a network card here is {word[:80]!r} or drives it",
                expected="the name of a module, as e1000e, or a modalias, as in /sys/class/net/*/device/modalias",
                hint="look at the spelling, and whether the kernel's package is the nodes' own; a driver that is built "
                "into the kernel needs no line",
            )
        found |= names & there
    return frozenset(found)


def _drivers(word: str, patterns: Collection[tuple[str, str]]) -> set[str]:
    """Return the names of the modules that a modalias stands for, or a name: all those that its devices ask for.

    hns3, which has the interfaces, and hclge, which drives the card, have one modalias and no dependency.
    """
    if ":" in word:
        return {name for pattern, name in patterns if fnmatchcase(word, pattern)}
    devices = {pattern for pattern, name in patterns if name == name_of(word) and ":" in pattern}
    return {name_of(word), *(name for pattern, name in patterns if pattern in devices)}


def firmware_asked(module: bytes) -> tuple[str, ...]:
    """Return the firmware that a module says it may ask for, from its contents (`firmware=` in section .modinfo)."""
    return _texts(rb"(?<![\w.])firmware=([!-~]+)(?=\0)", module)


def firmware_asked_by_builtin(modinfo: bytes) -> tuple[str, ...]:
    """Return the firmware that built-in drivers may ask for, from modules.builtin.modinfo."""
    return _texts(rb"\.firmware=([!-~]+)(?=\0)", modinfo)


def _texts(pattern: bytes, data: bytes) -> tuple[str, ...]:
    return tuple(found.decode() for found in re.findall(pattern, data))
