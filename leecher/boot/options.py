"""How one boot is run, handed as one value from the program to all of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from swarmboot.settings import NodeSettings

OnReady: TypeAlias = "Callable[[Manifest, Selection, Mapping[str, str]], None]"
"""Takes a release, what this node gets of it, and the devices where images can be read, by their names."""

if TYPE_CHECKING:
    from leecher.boot.log_sender import LogSource
    from leecher.boot.reporting import FirstWord
    from swarmboot.release.manifest import Manifest
    from swarmboot.release.profile import Selection


@dataclass(frozen=True, slots=True)
class BootOptions:
    """What a boot is to do: its settings, and what its program knows besides.

    `started_s` is when the program began, `ends_s` when all must be whole, both on the monotonic clock. `is_unpacked`
    asks for room to unpack the images in RAM, which the initramfs hook is going to do. `credentials` say as whom to
    announce, if an earlier boot has left some. `first_word` is what the neighbour in a booted system has to say to the
    seeder, in place of reports of its own. `on_ready` is called in a lazy window when the boot set is there, with the
    devices where images can be read, by their names. `log` returns where the lines come from that the seeder is handed;
    it is called once the boot is under way.
    """

    settings: NodeSettings
    started_s: float
    ends_s: float = math.inf
    is_unpacked: bool = False
    credentials: str = field(default="", repr=False)
    first_word: FirstWord | None = None
    on_ready: OnReady | None = None
    log: Callable[[], LogSource | None] = lambda: None
