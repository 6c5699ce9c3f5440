"""What people write as values of settings, each of its kind: parsed, or refused by what it is not.

Each takes a text and returns what it means. Which setting has which, and what it is called in a refusal, is
`swarmboot.settings`.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from swarmboot.errors import MalformedSettingError
from swarmboot.ids import MAX_SEQUENCE
from swarmboot.text.addresses import split_host_port
from swarmboot.text.units import parse_rate

SEED_RATE = "500mbit"
"""What a booted node gives its neighbours at most, unless it is told otherwise."""


ON, OFF = ("1", "yes", "on", "true"), ("0", "no", "off", "false")
KERNEL_LOG = "/dev/kmsg"


def plain(value: str) -> str:
    """Return a text as it is."""
    return value


def switch(value: str) -> bool:
    """Return whether a switch is on; raise MalformedSettingError."""
    if value.lower() in ON:
        return True
    if value.lower() in OFF:
        return False
    raise MalformedSettingError("not a switch", expected="on or off", found=_shown(value))


def address(value: str) -> str:
    """Return an IP address; raise MalformedSettingError."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise MalformedSettingError("not an IP address", expected="as in 10.0.0.5", found=_shown(value)) from error


def port(value: str) -> int:
    """Return a port, 0 for any; raise MalformedSettingError."""
    if not re.fullmatch(r"[0-9]{1,5}", value) or int(value) > 65535:
        raise MalformedSettingError("not a port", expected="0 to 65535", found=_shown(value))
    return int(value)


def whole_number(value: str) -> int:
    """Return a whole number; raise MalformedSettingError."""
    if not re.fullmatch(r"[0-9]{1,16}", value) or int(value) > MAX_SEQUENCE:
        raise MalformedSettingError("not a whole number", expected=f"0 to {MAX_SEQUENCE}", found=_shown(value))
    return int(value)


def _shown(value: str) -> str:
    """Return a value fit for a message."""
    return repr(value) if len(value) <= 80 else f"{value[:77]!r}... of {len(value)} characters"


def host_ports(value: str) -> tuple[tuple[str, int], ...]:
    """Return hosts with their ports, by commas; raise MalformedSettingError."""
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


def label(value: str) -> str:
    """Return a name of letters, digits, dots and dashes; raise MalformedSettingError."""
    if not re.fullmatch(r"[A-Za-z0-9._:-]{0,64}", value):
        raise MalformedSettingError("not a name", expected="letters, digits, dots and dashes", found=_shown(value))
    return value


def path(value: str) -> Path:
    """Return a file or folder; raise MalformedSettingError."""
    if not value or "\0" in value:
        raise MalformedSettingError(
            "not a path", expected="a file or folder", found=_shown(value) if value else "nothing"
        )
    return Path(value)


def paths(value: str) -> tuple[Path, ...]:
    """Return files by commas; raise MalformedSettingError."""
    return tuple(path(item) for item in value.split(",") if item)


def optional_path(value: str) -> Path | None:
    """Return a file, None for none; raise MalformedSettingError."""
    return path(value) if value else None


def rate(value: str) -> float:
    """Return bytes per second, 0 for no limit; raise MalformedSettingError."""
    return 0.0 if value in ("", "0", "none") else parse_rate(value)


def seed_rate(value: str) -> float:
    """Return how fast to seed after the boot, in bytes per second; 0 for not at all."""
    if value.lower() in OFF:
        return 0.0
    return parse_rate(SEED_RATE if value.lower() in ON else value)


def log_file(value: str) -> Path | None:
    """Return where the kernel's log is, None for not to read it."""
    if value.lower() in OFF:
        return None
    return Path(KERNEL_LOG) if value.lower() in ON else path(value)


def cache(value: str) -> str:
    """Return where a cache is, as it is written; nothing for none."""
    if value.lower() in OFF:
        return ""
    if not re.fullmatch(r"(LABEL|UUID)=[A-Za-z0-9._-]{1,64}|[^=\0]+", value):
        raise MalformedSettingError(
            "not a cache", expected="off, a folder, a device, LABEL=NAME or UUID=NUMBER", found=_shown(value)
        )
    return value


def storage_types(value: str) -> str:
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


def ram_share(value: str) -> str:
    """Return a size or a share of the RAM, as mount(8) takes it; raise MalformedSettingError."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}[kKmMgG]|[1-9][0-9]?%", value):
        raise MalformedSettingError(
            "not a part of the RAM", expected="a size or share, as in 2G or 50%", found=_shown(value)
        )
    return value


UNIFIED_WORD = "unified"
"""What `swarmboot.stage0` says in the command line of a unified kernel image, which cannot hold its own digest."""


def digest_beginnings(value: str) -> str:
    """Return the beginnings of digests, or `unified`; raise MalformedSettingError."""
    if not re.fullmatch(r"[0-9a-f]{16,64}(,[0-9a-f]{16,64})?|" + UNIFIED_WORD, value):
        raise MalformedSettingError(
            "not the beginnings of digests",
            expected="kernel,initramfs as 16 hex digits each, or of one image, or unified",
            found=_shown(value),
        )
    return value


def progress_kind(value: str) -> str:
    """Return how progress is shown; raise MalformedSettingError."""
    if value not in ("auto", "bar", "plain", "json", "none"):
        raise MalformedSettingError(
            "not a kind of progress", expected="auto, bar, plain, json or none", found=_shown(value)
        )
    return value
