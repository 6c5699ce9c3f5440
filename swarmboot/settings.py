"""The one table of a node's settings: kernel argument, environment name, flag, default, help.

Kernel argument `swarmboot.NAME=VALUE`, environment `SWARMBOOT_NAME`, flag `--name`: a flag beats the environment, which
beats the kernel command line. An unknown `swarmboot.*` argument is an error, because a typing mistake that is ignored
is found only after a rack has booted wrongly. No secret belongs here: /proc/cmdline is world-readable.

It will not read /proc or the environment by itself: callers pass both in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from swarmboot.errors import MalformedSettingError, UnknownSettingError
from swarmboot.ids import MAX_SEQUENCE
from swarmboot.release.layout import DEFAULT_CHANNEL, check_channel_name, check_fleet_name
from swarmboot.text.addresses import read_server, split_host_port
from swarmboot.text.arguments import kernel_arguments
from swarmboot.text.spelling import nearest
from swarmboot.text.units import parse_duration, parse_rate, parse_size

SEED_RATE = "500mbit"
"""What a booted node gives its neighbours at most, unless it is told otherwise."""


ON, OFF = ("1", "yes", "on", "true"), ("0", "no", "off", "false")
KERNEL_LOG = "/dev/kmsg"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `default` is text, as a user would write it; an empty one means not set.

    `unit` is what the name of the parsed field says after the setting's own, because users write units with a value.
    `old_name` is understood too, for one release.
    """

    name: str
    parse: Callable[[str], Any]
    default: str
    help: str
    example: str
    is_repeatable: bool = False
    unit: str = ""
    old_name: str = ""

    @property
    def field(self) -> str:
        """Return the field of `NodeSettings`."""
        return f"{self.name}_{self.unit}" if self.unit else self.name

    @property
    def argument(self) -> str:
        """Return the kernel argument."""
        return f"swarmboot.{self.name}"

    @property
    def environment(self) -> str:
        """Return the environment variable."""
        return f"SWARMBOOT_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """Return the command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the command-line flag, and the old one if there is one."""
        return (self.flag, f"--{self.old_name}") if self.old_name else (self.flag,)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """A node's settings, parsed; a field a setting, in the table's order.

    Rates of 0 have no limit, but `seed_bytes_per_s` of 0 is not to seed; `timeout_s` of 0 never ends. `memory` and
    `overlay` are as mount(8) takes a tmpfs's size.
    """

    server: str
    trust: tuple[Path, ...]
    ca: Path | None
    fleet_token: Path | None
    secrets: Path | None
    into: Path
    channel: str
    profile: str
    rack: str
    bind: str
    port: int
    neighbours: tuple[tuple[str, int], ...]
    discovery: bool
    linger: bool
    up_bytes_per_s: float
    timeout_s: float
    floor: int
    reserve_bytes: int
    report: Path | None
    progress: str
    clock_unix_s: int
    memory: str
    overlay: str
    seed_bytes_per_s: float
    stage0: str
    fleet: str
    lazy: bool
    trace: bool
    log: Path | None
    metrics_port: int
    cache: str
    storage: str
    zram: str


def _text(value: str) -> str:
    return value


def _truth(value: str) -> bool:
    if value.lower() in ON:
        return True
    if value.lower() in OFF:
        return False
    raise MalformedSettingError("not a switch", expected="on or off", found=_shown(value))


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise MalformedSettingError("not an IP address", expected="as in 10.0.0.5", found=_shown(value)) from error


def _port(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or int(value) > 65535:
        raise MalformedSettingError("not a port", expected="0 to 65535", found=_shown(value))
    return int(value)


def _whole(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", value) or int(value) > MAX_SEQUENCE:
        raise MalformedSettingError("not a whole number", expected=f"0 to {MAX_SEQUENCE}", found=_shown(value))
    return int(value)


def _shown(value: str) -> str:
    """Return a value fit for a message."""
    return repr(value) if len(value) <= 80 else f"{value[:77]!r}... of {len(value)} characters"


def _host_ports(value: str) -> tuple[tuple[str, int], ...]:
    pairs = []
    for item in filter(None, value.split(",")):
        try:
            host, port = split_host_port(item)
        except ValueError:
            host, port = "", 0
        if not host or not port:
            raise MalformedSettingError("not a list of neighbours", expected="HOST:PORT,HOST:PORT", found=_shown(value))
        pairs.append((host, port))
    return tuple(pairs)


def _label(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:-]{0,64}", value):
        raise MalformedSettingError("not a name", expected="letters, digits, dots and dashes", found=_shown(value))
    return value


def _path(value: str) -> Path:
    if not value or "\0" in value:
        raise MalformedSettingError(
            "not a path", expected="a file or folder", found=_shown(value) if value else "nothing"
        )
    return Path(value)


def _paths(value: str) -> tuple[Path, ...]:
    return tuple(_path(item) for item in value.split(",") if item)


def _optional_path(value: str) -> Path | None:
    return _path(value) if value else None


def _rate(value: str) -> float:
    return 0.0 if value in ("", "0", "none") else parse_rate(value)


def _seed(value: str) -> float:
    """Return how fast to seed after the boot, in bytes per second; 0 for not at all."""
    if value.lower() in OFF:
        return 0.0
    return parse_rate(SEED_RATE if value.lower() in ON else value)


def _log(value: str) -> Path | None:
    """Return where the kernel's log is, None for not to read it."""
    if value.lower() in OFF:
        return None
    return Path(KERNEL_LOG) if value.lower() in ON else _path(value)


def _cache(value: str) -> str:
    """Return where a cache is, as it is written; nothing for none."""
    if value.lower() in OFF:
        return ""
    if not re.fullmatch(r"(LABEL|UUID)=[A-Za-z0-9._-]{1,64}|[^=\0]+", value):
        raise MalformedSettingError(
            "not a cache", expected="off, a folder, a device, LABEL=NAME or UUID=NUMBER", found=_shown(value)
        )
    return value


def _storage(value: str) -> str:
    """Return which file systems of a release's storage an initramfs can mount, or that none is mounted."""
    if not re.fullmatch(r"(?:ext4|xfs|btrfs|nfs4?)(?:,(?:ext4|xfs|btrfs|nfs4?))*", value) and value.lower() not in OFF:
        raise MalformedSettingError(
            "not of file systems",
            expected="off, or ext4, xfs, btrfs, nfs4, nfs by commas",
            found=_shown(value),
        )
    return value


def parse_zram(value: str) -> str:
    """Return how much compressed swap a node makes, as the hook reads it; nothing for none.

    Raises MalformedSettingError.
    """
    if value.lower() in OFF:
        return ""
    if value.lower() in ON:
        return "50%"
    if not re.fullmatch(r"[1-9][0-9]{0,8}(?:[kKmMgG]|[KMG]iB)|(?:[1-9][0-9]?|1[0-9]{2}|200)%", value):
        raise MalformedSettingError(
            "not a size of swap",
            expected="off, on, a share of the RAM up to 200%, or a size, as in 50% or 256MiB",
            found=_shown(value),
        )
    return value


def _share(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}[kKmMgG]|[1-9][0-9]?%", value):
        raise MalformedSettingError(
            "not a part of the RAM", expected="a size or share, as in 2G or 50%", found=_shown(value)
        )
    return value


UNIFIED_WORD = "unified"
"""What `swarmboot.stage0` says in the command line of a unified kernel image, which cannot hold its own digest."""


def _prefixes(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{16,64}(,[0-9a-f]{16,64})?|" + UNIFIED_WORD, value):
        raise MalformedSettingError(
            "not the beginnings of digests",
            expected="kernel,initramfs as 16 hex digits each, or of one image, or unified",
            found=_shown(value),
        )
    return value


def _progress(value: str) -> str:
    if value not in ("auto", "bar", "plain", "json", "none"):
        raise MalformedSettingError(
            "not a kind of progress", expected="auto, bar, plain, json or none", found=_shown(value)
        )
    return value


TABLE: tuple[Setting, ...] = (
    Setting(
        "server", read_server, "", "the seeder's address; without it only neighbours are asked", "https://10.0.0.1:8470"
    ),
    Setting(
        "trust", _paths, "", "public key files that must have signed what is booted", "/etc/swarmboot/fleet.pub", True
    ),
    Setting(
        "ca", _optional_path, "", "certificate authority of the seeder's HTTPS certificate", "/etc/swarmboot/ca.pem"
    ),
    Setting(
        "fleet_token",
        _optional_path,
        "",
        "file of the fleet token, mode 0600, where the seeder asks for one",
        "/etc/swarmboot/fleet.token",
    ),
    Setting(
        "secrets", _optional_path, "", "file to write the release's secret settings to, mode 0600", "/run/secret.env"
    ),
    Setting("into", _path, "/run/swarmboot", "directory the images go to", "/run/swarmboot"),
    Setting("channel", check_channel_name, DEFAULT_CHANNEL, "channel to boot from", "stable"),
    Setting("profile", _text, "", "profile of the release to take, in place of the one that matches", "gpu"),
    Setting("rack", _label, "", "name of this node's rack; nodes of one rack prefer each other", "r12"),
    Setting("bind", _address, "", "address to talk to others from", "10.0.0.5"),
    Setting("port", _port, "0", "port for BitTorrent, TCP; 0 takes a free one", "6881"),
    Setting(
        "neighbours", _host_ports, "", "neighbours to probe where multicast is blocked", "10.0.0.7:8471,10.0.0.8:8471"
    ),
    Setting("discovery", _truth, "on", "look for neighbours by multicast", "off"),
    Setting("linger", _truth, "off", "go on seeding once everything is there", "on", old_name="neighbour"),
    Setting(
        "up", _rate, "", "most bytes per second to send to neighbours; empty for no limit", "200mbit",
        unit="bytes_per_s",
    ),
    Setting("timeout", parse_duration, "0", "give up after this long; 0 tries for ever", "10min", unit="s"),
    Setting("floor", _whole, "0", "lowest manifest number this node may boot", "41"),
    Setting("reserve", parse_size, "64MiB", "memory or disk that the images must leave free", "256MiB", unit="bytes"),
    Setting("report", _optional_path, "", "file to write the boot report to, as JSON", "/run/swarmboot/report.json"),
    Setting("progress", _progress, "auto", "how to show progress: auto, bar, plain, json or none", "json"),
    Setting(
        "clock", _whole, "0", "Unix time to set the clock to if it is earlier (initramfs only)", "1750000000",
        unit="unix_s",
    ),
    Setting("memory", _share, "75%", "most of the RAM that images may take (initramfs only)", "2G"),
    Setting("overlay", _share, "50%", "most of the RAM that changes to the root may take (initramfs only)", "512M"),
    Setting(
        "seed",
        _seed,
        "on",
        f"seed after the boot: on for {SEED_RATE}, off, or a rate (initramfs only)",
        "200mbit",
        unit="bytes_per_s",
    ),
    Setting(
        "stage0",
        _prefixes,
        "",
        "beginnings of the digests of the kernel and initramfs, or of the one image, that the boot script loaded; "
        "unified if the command line is in that image",
        "0123456789abcdef,0123456789abcdef",
    ),
    Setting(
        "fleet", check_fleet_name, "", "name of the fleet whose releases alone may be booted; empty for any", "hall-3"
    ),
    Setting("lazy", _truth, "off", "use images before they are whole, what a boot reads first", "on"),
    Setting(
        "trace", _truth, "off", "hand to the seeder what this boot reads of its images, which is lazy then (initramfs "
        "only)", "on",
    ),
    Setting(
        "log", _log, "", "hand to the seeder what the kernel and this program say: on, off, or a file in place of "
        f"{KERNEL_LOG}; on in the initramfs and after it, else off", "off",
    ),
    Setting(
        "metrics_port", _port, "0",
        "port of this node's HTTP server, which has /metrics; 0 or a port that is taken gives a free one", "9470",
    ),
    Setting(
        "cache", _cache, "", "where images of earlier boots are kept: off, a folder, or in the initramfs a device, "
        "LABEL=... or UUID=..., there LABEL=swarmboot if nothing is said", "LABEL=swarmboot",
    ),
    Setting(
        "storage", _storage, "", "off for none of the release's storage, signed or baked in where the release has "
        "nodes stop without; baked in, the file systems that the initramfs can mount (initramfs only)", "ext4,nfs4",
    ),
    Setting(
        "zram", parse_zram, "off", "compressed swap in RAM, made before anything is fetched: off, on for 50%, another "
        "share of the RAM, or a size; at most twice the RAM (initramfs only)", "50%",
    ),
)  # fmt: skip

_MEANT_MAX, _SHOWN_MAX = 4, 80
_BY_NAME = {name: setting for setting in TABLE for name in (setting.name, setting.old_name) if name}
NAMES = frozenset(_BY_NAME)
"""What a setting may be called, old names among them."""
_ARGUMENT = re.compile(r"swarmboot([._])(.*)\Z", re.DOTALL)


def parse_cmdline(cmdline: str) -> dict[str, str]:
    """Return the settings written on a kernel command line, the last of a name winning, lists joined.

    `swarmboot=0` and `swarmboot=1` are the hook's switch and not a setting. Raises UnknownSettingError naming every
    argument that is not in the table.
    """
    found: dict[str, str] = {}
    unknown: list[str] = []
    for argument, given in kernel_arguments(cmdline):
        match = _ARGUMENT.match(argument)
        if not match:
            continue
        name, value = match[2], "on" if given is None else given
        setting = _BY_NAME.get(name)
        if setting is None or match[1] != ".":
            unknown.append(argument)
        elif setting.is_repeatable and setting.name in found:
            found[setting.name] += "," + value
        else:
            found[setting.name] = value
    if unknown:
        raise UnknownSettingError(
            f"unknown kernel argument {', '.join(sorted(set(unknown)))}",
            expected=", ".join(setting.argument for setting in TABLE),
            hint=meant(unknown, prefix="swarmboot.") or "correct the spelling or take it out",
        )
    return found


def meant(unknown: Iterable[str], *, prefix: str = "") -> str:
    """Return what was probably meant by names that are no settings, for a hint; nothing where none is alike.

    `prefix` stands before every name that is right, and it or something like it before those that are not.
    """
    right = [setting.name for setting in TABLE]
    wrong = sorted(set(unknown))[:_MEANT_MAX]
    pairs = ((name, nearest(name[len(prefix) :], right)) for name in wrong)
    return ", ".join(f"for {name[:_SHOWN_MAX]} write {prefix}{found}" for name, found in pairs if found)


def parse_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings found in the environment; unknown SWARMBOOT_ names are left to others."""
    return {
        setting.name: environment[variable]
        for setting in TABLE
        for name in (setting.old_name, setting.name)
        if name and (variable := f"SWARMBOOT_{name.upper()}") in environment
    }


def build_settings(*sources: Mapping[str, str]) -> NodeSettings:
    """Return the settings from sources in rising order of rank, defaults below all.

    Raises MalformedSettingError naming the argument.
    """
    texts = {setting.name: setting.default for setting in TABLE}
    for source in sources:
        texts.update({_BY_NAME[name].name: text for name, text in source.items()})
    values: dict[str, Any] = {}
    for setting in TABLE:
        text = texts[setting.name]
        try:
            values[setting.field] = setting.parse(text) if text or setting.default else _unset(setting)
        except MalformedSettingError as error:
            raise MalformedSettingError(
                f"{setting.argument} ({setting.flag}) is {error.what}",
                expected=error.expected,
                found=error.found,
                hint=f"for example {setting.argument}={setting.example}",
            ) from error
    return NodeSettings(**values)


def _unset(setting: Setting) -> Any:
    kinds = {field.name: field.type for field in fields(NodeSettings)}
    kind = str(kinds[setting.field])
    if kind.startswith("tuple"):
        return ()
    return {"str": "", "float": 0.0}.get(kind)
