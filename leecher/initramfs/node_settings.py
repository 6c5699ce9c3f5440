"""Where a node's settings come from in an initramfs: baked into it, a file beside it, and the kernel's command line.

What says whom to believe comes from what was baked in alone; the others were loaded over plain HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from leecher.origin.proving import Proving, proving_of
from swarmboot.errors import MalformedSettingError, SwarmbootError, UnknownSettingError
from swarmboot.settings import NAMES, NodeSettings, build_settings, meant, parse_cmdline
from swarmboot.text.arguments import last_value

BAKED = Path("/etc/swarmboot")
_TEXT_MAX_BYTES = 1 << 16


def parse_defaults(text: str, *, where: str) -> dict[str, str]:
    """Return the settings in a file of `name=value` lines; raise UnknownSettingError for a name not in the table."""
    lines = [line.strip() for line in text.splitlines()]
    found = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    unknown = sorted(found.keys() - NAMES)
    if unknown:
        raise UnknownSettingError(
            f"{where} sets {', '.join(unknown)}, which is no setting",
            hint=meant(unknown) or "run `swarmboot hook install` again",
        )
    return found


def node_settings(cmdline: str, defaults: Mapping[str, str], forced: Mapping[str, str]) -> NodeSettings:
    """Return the settings of a node: forced over the command line over the defaults; the highest floor counts, and the
    fleet token is the one that was baked in.

    Raises SettingsError naming the argument, and if the command line, which comes over plain HTTP, names another fleet
    than the one that was baked in.
    """
    baked = build_settings(defaults)
    settings = build_settings(defaults, parse_cmdline(cmdline), forced)
    if baked.fleet and settings.fleet != baked.fleet:
        raise MalformedSettingError(
            "swarmboot.fleet contradicts what the initramfs was built with",
            expected=repr(baked.fleet),
            found=repr(settings.fleet),
            hint="take it off the command line, or rebuild the initramfs",
        )
    token = settings.fleet_token if "fleet_token" in forced else baked.fleet_token
    return replace(settings, floor=max(settings.floor, baked.floor), fleet_token=token)


def parse_node_file(text: str, *, where: str) -> dict[str, str]:
    """Return the settings in a file that was loaded beside the initramfs: none that say what is trusted.

    Raises UnknownSettingError for those and for names not in the table.
    """
    found = parse_defaults(text, where=where)
    refused = sorted(found.keys() & {"trust", "ca", "floor", "fleet", "fleet_token", "secrets"})
    if refused:
        raise UnknownSettingError(
            f"{where} sets {', '.join(refused)}, which only the initramfs itself may",
            hint="take it out of --node-files",
        )
    return found


def baked_defaults(config: Path) -> dict[str, str]:
    """Return the settings that were baked into the initramfs; raises UnknownSettingError."""
    path = config / "defaults"
    return parse_defaults(beginning_of(path), where=str(path)) if path.is_file() else {}


def settings_of(forced: Mapping[str, str]) -> NodeSettings:
    """Return this node's settings, `forced` over all others; raises SettingsError."""
    node = BAKED / "node"
    defaults = {"log": "on", **baked_defaults(BAKED)}
    defaults |= parse_node_file(beginning_of(node), where=str(node)) if node.is_file() else {}
    settings = node_settings(kernel_cmdline(), defaults, forced)
    return replace(settings, lazy=settings.lazy or settings.trace)


def kernel_cmdline() -> str:
    """Return the kernel's command line without the line end that /proc adds."""
    return beginning_of(Path("/proc/cmdline")).removesuffix("\n")


def beginning_of(path: Path) -> str:
    """Return the beginning of a file that came over plain HTTP, or a command line that did: any bytes, any length."""
    with path.open("rb") as file:
        return file.read(_TEXT_MAX_BYTES).decode(errors="replace").replace("\0", "\ufffd")


def baked_proving(config: Path) -> Proving:
    """Return what proves the fleet token that was baked in, whatever else is wrong with a boot's settings."""
    try:
        return proving_of(build_settings(baked_defaults(config)))
    except SwarmbootError:
        return Proving()


def server_on(cmdline: str) -> str:
    """Return the server on a command line that has other faults, or nothing."""
    server = last_value(cmdline, "swarmboot.server")
    try:
        return build_settings({"server": server}).server if server else ""
    except SwarmbootError:
        return ""
