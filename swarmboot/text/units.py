"""Rates, sizes and durations as people write them, and as the code keeps them: bytes, bytes per second, seconds.

Bits and decimal prefixes follow tc(8): `100mbit` is 100 x 10^6 bits per second. Sizes follow IEC 80000-13: `MiB` is
2^20 bytes, `MB` is 10^6.
"""

from __future__ import annotations

import re

from swarmboot.errors import MalformedSettingError

GOODPUT = 1448 / 1538
"""What headers leave of a raw Ethernet rate at an MTU of 1500 (TCP with timestamps over IPv4)."""

LONGEST_S = 36500 * 86400.0
LARGEST_SIZE_BYTES = 2**60
LARGEST_RATE_BYTES_PER_S = 1.25e12
"""Beyond these, sums and the system calls that take them overflow."""

_NUMBER = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z/]*)\s*\Z")
_RATES = {
    "bit": 1 / 8, "kbit": 1e3 / 8, "mbit": 1e6 / 8, "gbit": 1e9 / 8,
    "b/s": 1.0, "kb/s": 1e3, "mb/s": 1e6, "gb/s": 1e9, "kib/s": 2.0**10, "mib/s": 2.0**20, "gib/s": 2.0**30,
}  # fmt: skip
_SIZES = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "k": 2**10, "m": 2**20, "g": 2**30, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_DURATIONS = {"": 1.0, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _parse(text: str, factors: dict[str, float] | dict[str, int], *, kind: str, example: str) -> float:
    match = _NUMBER.match(text)
    factor = factors.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise MalformedSettingError(
            f"not a {kind}", expected=f"a number and a unit, as in {example}", found=_shown(text)
        )
    return float(match[1]) * factor


def _bounded(value: float, most: float, text: str, *, kind: str, largest: str) -> float:
    if value > most:
        raise MalformedSettingError(f"not a {kind}", expected=f"at most {largest}", found=_shown(text))
    return value


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def parse_rate(text: str) -> float:
    """Return bytes per second for `100mbit`, `1gbit`, `12.5MB/s`; raise MalformedSettingError otherwise."""
    rate_bytes_per_s = _parse(text, _RATES, kind="rate", example="100mbit or 12MB/s")
    if rate_bytes_per_s <= 0:
        raise MalformedSettingError("not a rate", expected="more than zero", found=repr(text))
    return _bounded(rate_bytes_per_s, LARGEST_RATE_BYTES_PER_S, text, kind="rate", largest="10tbit, 1250 GB/s")


def parse_size(text: str) -> int:
    """Return bytes for `64MiB`, `130MB`, `4096`; raise MalformedSettingError otherwise."""
    size_bytes = _parse(text, _SIZES, kind="size", example="64MiB or 130MB")
    return round(_bounded(size_bytes, LARGEST_SIZE_BYTES, text, kind="size", largest="1048576TiB"))


def parse_duration(text: str) -> float:
    """Return seconds for `30s`, `500ms`, `2min`, `1.5`; raise MalformedSettingError otherwise."""
    duration_s = _parse(text, _DURATIONS, kind="duration", example="30s or 2min")
    return _bounded(duration_s, LONGEST_S, text, kind="duration", largest="36500d, a hundred years")


def format_size(size_bytes: float) -> str:
    """Return bytes as a person reads them: `64.0 MiB`."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def format_rate(rate_bytes_per_s: float) -> str:
    """Return a rate in bits per second as tc(8) writes it: `100mbit`."""
    bits = rate_bytes_per_s * 8
    for factor, unit in ((1e9, "gbit"), (1e6, "mbit"), (1e3, "kbit")):
        if bits >= factor:
            return f"{bits / factor:.4g}{unit}"
    return f"{bits:.4g}bit"


def format_duration(duration_s: float) -> str:
    """Return seconds as a person reads them: `0.42 s`, `41 s`, `9 min 20 s`."""
    if duration_s < 10:
        return f"{duration_s:.2f} s"
    if duration_s < 120:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    if minutes < 120:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"
