"""What a node says of the machine that it is, so that a person can find it: in its reports, and once in its announces.

Pure. Each has a narrow form, because it stands in the seeder's log and record as it is; DecodeError for any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from swarmboot.codec import DecodeError, Fields

_BOOT = re.compile(r"([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?\Z")
_MAC = re.compile(r"([0-9a-f]{2}(:[0-9a-f]{2}){5,19})?\Z")
_NAME = re.compile(r"[A-Za-z0-9._-]{0,64}\Z")
_KERNEL = re.compile(r"[A-Za-z0-9._+~-]{0,64}\Z")


@dataclass(frozen=True, slots=True)
class About:
    """A machine and one boot of it, each empty where nobody could tell.

    `boot` is the kernel's own id of this boot (random(4), boot_id), `mac` that of the card which leads to the seeder,
    `name` the host's, `channel` what the node follows, `kernel` the release that runs (uname(2)).
    """

    boot: str = ""
    mac: str = ""
    name: str = ""
    channel: str = ""
    kernel: str = ""


def read_about(value: object) -> About:
    """Return what a decoded map says; raise DecodeError for what has another form."""
    fields = Fields(value, "about")
    return About(boot_id(fields), mac_address(fields), host_name(fields), channel(fields), kernel(fields))


def boot_id(fields: Fields) -> str:
    """Return the field `boot`, empty without one."""
    return _matching(_BOOT, fields, "boot")


def mac_address(fields: Fields) -> str:
    """Return the field `mac`, in lower case with colons, empty without one."""
    return _matching(_MAC, fields, "mac")


def host_name(fields: Fields) -> str:
    """Return the field `name`, empty without one."""
    return _matching(_NAME, fields, "name")


def channel(fields: Fields) -> str:
    """Return the field `channel`, empty without one."""
    return _matching(_NAME, fields, "channel")


def kernel(fields: Fields) -> str:
    """Return the field `kernel`, empty without one."""
    return _matching(_KERNEL, fields, "kernel")


def _matching(pattern: re.Pattern[str], fields: Fields, name: str) -> str:
    text = fields.text(name, most=64, default="")
    if not pattern.match(text):
        raise DecodeError(f"{name} is not of its form")
    return text
