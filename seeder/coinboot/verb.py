"""What `publish` and `release import` do with Coinboot's server folder, and what they say of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seeder.coinboot.adopt import adopt, default_out
from seeder.coinboot.folder import read_coinboot
from seeder.takeover import stage0
from seeder.takeover.directory import Adopted
from seeder.takeover.words import finish, lost_lines
from swarmboot.host.programs import check_installed


def check_tools(_folder: Path) -> None:
    """Raise ToolMissingError for what it takes to make a release of one."""
    check_installed({"mksquashfs": "squashfs-tools"})


def take_over(
    folder: Path, out: Path | None, wanted: stage0.Asked | None, *, is_kept: bool,
    say: Callable[[str], None],
) -> tuple[Adopted, dict[str, Any]]:  # fmt: skip
    """Make a release directory of a folder, with an initramfs if one is wanted, and say so; return it and its facts.

    `is_kept` is as `finish` has it. Raises what `read_coinboot` and `adopt` raise.
    """
    check_tools(folder)
    adopted = adopt(read_coinboot(folder), out or default_out(folder), say=say)
    return finish(adopted, wanted, label=str(folder), is_kept=is_kept, say=say)


def look_at(folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Return what would become of a folder, in lines and as JSON has it; its archives are not looked into."""
    found = read_coinboot(folder)
    kernel, plugins = found.version or found.kernel.name, [plugin.name for plugin in found.plugins]
    lines = [f"{folder} is Coinboot's server folder: kernel {kernel}, plugins {', '.join(plugins) or 'none'}"]
    lines += lost_lines(found.lost)
    return lines, {"release": str(folder), "kernel": kernel, "plugins": plugins, "lost": list(found.lost)}
