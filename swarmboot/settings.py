"""The one table of a node's settings: kernel argument, environment name, flag, default, help.

Kernel argument `swarmboot.NAME=VALUE`, environment `SWARMBOOT_NAME`, flag `--name`: a flag beats the environment, which
beats the kernel command line. An unknown `swarmboot.*` argument is an error, because a typing mistake that is ignored
is found only after a rack has booted wrongly. No secret belongs here: /proc/cmdline is world-readable.

It will not read /proc or the environment by itself: callers pass both in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from swarmboot.errors import MalformedSettingError, UnknownSettingError
from swarmboot.release.layout import DEFAULT_CHANNEL, check_channel_name, check_fleet_name
from swarmboot.setting_values import (
    KERNEL_LOG,
    SEED_RATE,
    address,
    cache,
    digest_beginnings,
    host_ports,
    label,
    log_file,
    optional_path,
    parse_zram,
    path,
    paths,
    plain,
    port,
    progress_kind,
    ram_share,
    rate,
    seed_rate,
    storage_types,
    switch,
    whole_number,
)
from swarmboot.text.addresses import read_server
from swarmboot.text.arguments import kernel_arguments
from swarmboot.text.spelling import nearest
from swarmboot.text.units import parse_duration, parse_size


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


TABLE: tuple[Setting, ...] = (
    Setting(
        "server", read_server, "", "the seeder's address; without it only neighbours are asked", "https://10.0.0.1:8470"
    ),
    Setting(
        "trust", paths, "", "public key files that must have signed what is booted", "/etc/swarmboot/fleet.pub", True
    ),
    Setting(
        "ca", optional_path, "", "certificate authority of the seeder's HTTPS certificate", "/etc/swarmboot/ca.pem"
    ),
    Setting(
        "fleet_token",
        optional_path,
        "",
        "file of the fleet token, mode 0600, where the seeder asks for one",
        "/etc/swarmboot/fleet.token",
    ),
    Setting(
        "secrets", optional_path, "", "file to write the release's secret settings to, mode 0600", "/run/secret.env"
    ),
    Setting("into", path, "/run/swarmboot", "directory the images go to", "/run/swarmboot"),
    Setting("channel", check_channel_name, DEFAULT_CHANNEL, "channel to boot from", "stable"),
    Setting("profile", plain, "", "profile of the release to take, in place of the one that matches", "gpu"),
    Setting("rack", label, "", "name of this node's rack; nodes of one rack prefer each other", "r12"),
    Setting("bind", address, "", "address to talk to others from", "10.0.0.5"),
    Setting("port", port, "0", "port for BitTorrent, TCP; 0 takes a free one", "6881"),
    Setting(
        "neighbours", host_ports, "", "neighbours to probe where multicast is blocked", "10.0.0.7:8471,10.0.0.8:8471"
    ),
    Setting("discovery", switch, "on", "look for neighbours by multicast", "off"),
    Setting("linger", switch, "off", "go on seeding once everything is there", "on", old_name="neighbour"),
    Setting(
        "up", rate, "", "most bytes per second to send to neighbours; empty for no limit", "200mbit",
        unit="bytes_per_s",
    ),
    Setting("timeout", parse_duration, "0", "give up after this long; 0 tries for ever", "10min", unit="s"),
    Setting("floor", whole_number, "0", "lowest manifest number this node may boot", "41"),
    Setting("reserve", parse_size, "64MiB", "memory or disk that the images must leave free", "256MiB", unit="bytes"),
    Setting("report", optional_path, "", "file to write the boot report to, as JSON", "/run/swarmboot/report.json"),
    Setting("progress", progress_kind, "auto", "how to show progress: auto, bar, plain, json or none", "json"),
    Setting(
        "clock", whole_number, "0", "Unix time to set the clock to if it is earlier (initramfs only)", "1750000000",
        unit="unix_s",
    ),
    Setting("memory", ram_share, "75%", "most of the RAM that images may take (initramfs only)", "2G"),
    Setting("overlay", ram_share, "50%", "most of the RAM that changes to the root may take (initramfs only)", "512M"),
    Setting(
        "seed",
        seed_rate,
        "on",
        f"seed after the boot: on for {SEED_RATE}, off, or a rate (initramfs only)",
        "200mbit",
        unit="bytes_per_s",
    ),
    Setting(
        "stage0",
        digest_beginnings,
        "",
        "beginnings of the digests of the kernel and initramfs, or of the one image, that the boot script loaded; "
        "unified if the command line is in that image",
        "0123456789abcdef,0123456789abcdef",
    ),
    Setting(
        "fleet", check_fleet_name, "", "name of the fleet whose releases alone may be booted; empty for any", "hall-3"
    ),
    Setting("lazy", switch, "off", "use images before they are whole, what a boot reads first", "on"),
    Setting(
        "trace", switch, "off", "hand to the seeder what this boot reads of its images, which is lazy then (initramfs "
        "only)", "on",
    ),
    Setting(
        "log", log_file, "", "hand to the seeder what the kernel and this program say: on, off, or a file in place of "
        f"{KERNEL_LOG}; on in the initramfs and after it, else off", "off",
    ),
    Setting(
        "metrics_port", port, "0",
        "port of this node's HTTP server, which has /metrics; 0 or a port that is taken gives a free one", "9470",
    ),
    Setting(
        "cache", cache, "", "where images of earlier boots are kept: off, a folder, or in the initramfs a device, "
        "LABEL=... or UUID=..., there LABEL=swarmboot if nothing is said", "LABEL=swarmboot",
    ),
    Setting(
        "storage", storage_types, "", "off for none of the release's storage, signed or baked in where the release has "
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
