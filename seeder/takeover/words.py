"""What is said of a system that was taken over, by `publish` and `release import`, and the step that both share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from seeder.takeover import stage0
from seeder.takeover.directory import Adopted
from swarmboot.errors import PrivilegeError, ToolMissingError


def finish(
    adopted: Adopted, wanted: stage0.Asked | None, *, label: str, is_kept: bool, say: Callable[[str], None]
) -> tuple[Adopted, dict[str, Any]]:
    """Build the initramfs of a release if one is wanted, and say what was done; return it and its facts.

    With `is_kept` an initramfs that is there is left as it is. One that cannot be built here is no error: it is said
    by which command it can.
    """
    missing = ""
    if wanted is not None and not (is_kept and adopted.initramfs.exists()):
        try:
            stage0.build(adopted, wanted, say=say)
        except (PrivilegeError, ToolMissingError) as error:
            missing = str(error)
    for line in _lines(adopted, label, missing):
        say(line)
    return adopted, _value(adopted)


def lost_lines(lost: Sequence[str]) -> list[str]:
    """Return the list of what is not taken over, in lines."""
    return [f"not taken over, {len(lost)}:", *(f"  {line}" for line in lost)] if lost else []


def _lines(adopted: Adopted, label: str, missing: str) -> list[str]:
    done = "taken over" if adopted.is_new else "taken over before, and the same since"
    lines = [f"{label}: {done}: kernel {adopted.kernel}, plugins {', '.join(adopted.plugins) or 'none'}"]
    lines += lost_lines(adopted.lost)
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
