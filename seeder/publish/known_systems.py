"""Other systems that are published as they are: which one a path is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from seeder.takeover.directory import Adopted
from seeder.takeover.stage0 import Asked
from swarmboot.errors import ReleaseError


class System(Protocol):
    """What makes a release directory of another system."""

    def look_at(self, path: Path, /) -> tuple[list[str], dict[str, Any]]:
        """Return what would become of it, in lines and as JSON has it."""

    def check_tools(self, path: Path, /) -> None:
        """Raise ToolMissingError for what it takes to take one over."""

    def take_over(
        self, path: Path, out: Path | None, wanted: Asked | None, /, *, is_kept: bool, say: Callable[[str], None]
    ) -> tuple[Adopted, dict[str, Any]]:
        """Make a release directory of it, `out` or beside it, and say so; return it and its facts."""


def known_system(path: Path) -> System | None:
    """Return what takes a path over, None for a release directory and for what nothing here knows."""
    from seeder.coinboot import folder
    from seeder.coinboot import verb as coinboot
    from seeder.live import verb as live

    if folder.is_coinboot(path):
        return coinboot
    return live if live.is_live(path) else None


def nothing_known(path: Path) -> ReleaseError:
    """Return the refusal of a path that no other system is found at."""
    return ReleaseError(
        f"{path} is no system that is known here",
        expected="Coinboot's server folder, or a Debian Live image: a netboot.tar, an ISO, or a folder of either",
        found="a folder without them" if path.is_dir() else "another file" if path.exists() else "nothing there",
        hint="publish a release directory as it is: swarmboot publish release/",
    )
