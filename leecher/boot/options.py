"""How one boot is run, handed as one value from the program to all of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from swarmboot.errors import MalformedSettingError
from swarmboot.settings import NodeSettings

OnReady: TypeAlias = "Callable[[Manifest, Selection, Mapping[str, str]], None]"
"""Takes a release, what this node gets of it, and the devices where images can be read, by their names."""

if TYPE_CHECKING:
    from leecher.boot.reports.log_sender import LogSource
    from leecher.boot.reports.reporting import FirstWord
    from swarmboot.release.manifest import Manifest
    from swarmboot.release.profile import Selection


@dataclass(frozen=True, slots=True)
class BootOptions:
    """What a boot is to do: its settings, and what its program knows besides.

    `started_s` is when the program began, `ends_s` when all must be whole, both on the monotonic clock. `is_unpacked`
    asks for room to unpack the images in RAM, which the initramfs hook is going to do. `credentials` say as whom to
    announce, if an earlier boot has left some. `first_word` is what the neighbour in a booted system has to say to the
    seeder, in place of reports of its own. `on_ready` is called in a lazy window when the boot set is there, with the
    devices where images can be read, by their names, `on_whole` when a neighbour has all images, and only
    gives from then on. `log` returns where the lines come from that the seeder is handed; it is called once the boot is
    under way.
    """

    settings: NodeSettings
    started_s: float
    ends_s: float = math.inf
    is_unpacked: bool = False
    credentials: str = field(default="", repr=False)
    first_word: FirstWord | None = None
    on_ready: OnReady | None = None
    on_whole: Callable[[], None] = lambda: None
    log: Callable[[], LogSource | None] = lambda: None


def check_settings(settings: NodeSettings) -> None:
    """Raise MalformedSettingError for settings with which no boot can be: nobody to believe, or nobody to ask."""
    if not settings.trust:
        raise MalformedSettingError(
            "swarmboot.trust (--trust) is missing",
            expected="the fleet's public key file",
            hint="give the .pub file that `swarmboot keygen` made",
        )
    if not (settings.server or settings.discovery or settings.neighbours):
        raise MalformedSettingError(
            "there is nobody to ask", expected="swarmboot.server, or swarmboot.discovery=on", found="neither"
        )
    if "=" in settings.cache:
        raise MalformedSettingError(
            "swarmboot.cache (--cache) names a disk, which the initramfs alone mounts",
            expected="a folder",
            found=settings.cache,
            hint="mount it, and give the folder",
        )
