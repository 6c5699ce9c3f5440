"""What `publish` and `release import` do with Coinboot's server folder, and what they say of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seeder.coinboot import stage0
from seeder.coinboot.adopt import Adopted, adopt, default_out
from seeder.coinboot.folder import is_coinboot, read_coinboot
from swarmboot.errors import PrivilegeError, ReleaseError, ToolMissingError


def take_over(
    folder: Path, out: Path | None, wanted: stage0.Asked | None, *, is_kept: bool,
    say: Callable[[str], None],
) -> tuple[Adopted, dict[str, Any]]:  # fmt: skip
    """Make a release directory of a folder, with an initramfs if one is wanted, and say so; return it and its facts.

    With `is_kept` an initramfs that is there is left as it is. One that cannot be built here is no error: it is said
    by which command it can. Raises ReleaseError for a folder that is not Coinboot's, and what `adopt` raises.
    """
    if not is_coinboot(folder):
        raise ReleaseError(
            f"{folder} is not Coinboot's server folder",
            expected="coinboot-vmlinuz-VERSION and coinboot-initramfs-VERSION in it, or in boot/",
            found="a folder without them" if folder.is_dir() else "no such folder",
            hint="publish a release directory as it is: swarmboot publish release/",
        )
    adopted = adopt(read_coinboot(folder), out or default_out(folder), say=say)
    missing = ""
    if wanted is not None and not (is_kept and adopted.initramfs.exists()):
        try:
            stage0.build(adopted, wanted, say=say)
        except (PrivilegeError, ToolMissingError) as error:
            missing = str(error)
    for line in _lines(folder, adopted, missing):
        say(line)
    return adopted, _value(adopted)


def look_at(folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Return what would become of a folder, in lines and as JSON has it; its archives are not looked into."""
    found = read_coinboot(folder)
    kernel, plugins = found.version or found.kernel.name, [plugin.name for plugin in found.plugins]
    lines = [f"{folder} is Coinboot's server folder: kernel {kernel}, plugins {', '.join(plugins) or 'none'}"]
    lines += _lost_lines(found.lost)
    return lines, {"release": str(folder), "kernel": kernel, "plugins": plugins, "lost": list(found.lost)}


def _lost_lines(lost: tuple[str, ...]) -> list[str]:
    return [f"not taken over, {len(lost)}:", *(f"  {line}" for line in lost)] if lost else []


def _lines(folder: Path, adopted: Adopted, missing: str) -> list[str]:
    done = "taken over" if adopted.is_new else "taken over before, and the same since"
    lines = [f"{folder}: {done}: kernel {adopted.kernel}, plugins {', '.join(adopted.plugins) or 'none'}"]
    lines += _lost_lines(adopted.lost)
    if not adopted.initramfs.exists():
        lines.append(f"no initramfs yet{f': {missing}' if missing else ''}; build it: {stage0.command(adopted)}")
    return [*lines, f"release: {adopted.release}"]


def _value(adopted: Adopted) -> dict[str, Any]:
    has_initramfs = adopted.initramfs.exists()
    return {
        "release": str(adopted.release),
        "is_new": adopted.is_new,
        "kernel": adopted.kernel,
        "plugins": list(adopted.plugins),
        "lost": list(adopted.lost),
        "initramfs": str(adopted.initramfs) if has_initramfs else None,
        "next": None if has_initramfs else stage0.command(adopted),
    }
