"""What this machine is: its MAC addresses and DMI fields, from sysfs (kernel ABI sysfs-class-net, sysfs-class-dmi)."""

from __future__ import annotations

from pathlib import Path

from swarmboot.release.profile import Identity

_NO_MAC = frozenset({"", "00:00:00:00:00:00"})


def read_identity(sys: Path = Path("/sys")) -> Identity:
    """Return this machine's identity; what cannot be read is left out."""
    macs = {_read(path).lower() for path in (sys / "class/net").glob("*/address")} - _NO_MAC
    dmi = {path.name: _read(path) for path in (sys / "class/dmi/id").glob("*") if path.is_file()}
    return Identity(frozenset(macs), {name: value for name, value in dmi.items() if value})


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
