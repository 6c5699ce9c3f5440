"""How one boot is run, handed as one value from the program to all of its steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarmboot.settings import NodeSettings

if TYPE_CHECKING:
    from leecher.boot.reporting import FirstWord


@dataclass(frozen=True, slots=True)
class BootOptions:
    """What a boot is to do: its settings, and what its program knows besides.

    `started_s` is when the program began, `ends_s` when all must be whole, both on the monotonic clock. `is_unpacked`
    asks for room to unpack the images in RAM, which the initramfs hook is going to do. `credentials` say as whom to
    announce, if an earlier boot has left some. `first_word` is what the neighbour in a booted system has to say to the
    seeder, in place of reports of its own.
    """

    settings: NodeSettings
    started_s: float
    ends_s: float = math.inf
    is_unpacked: bool = False
    credentials: str = field(default="", repr=False)
    first_word: FirstWord | None = None
