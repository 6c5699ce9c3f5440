"""The strategies that the lab can run, by name. Each is a real program over the same links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsim.lab.strategies.aria2 import Aria2
from netsim.lab.strategies.cached import CachedScatter
from netsim.lab.strategies.https import Https
from netsim.lab.strategies.lazy import LazyScatter
from netsim.lab.strategies.libtorrent import StockLibtorrent
from netsim.lab.strategies.stage0 import Stage0Scatter
from netsim.lab.strategies.swarmboot import Scatter
from netsim.lab.strategies.udpcast import Udpcast
from swarmboot.errors import MalformedSettingError

if TYPE_CHECKING:
    from netsim.lab.strategies.strategy import Strategy

STRATEGIES: dict[str, Strategy] = {
    "swarmboot": Scatter(),
    "https": Https(),
    "libtorrent": StockLibtorrent(),
    "aria2": Aria2(),
    "udpcast": Udpcast(),
    "swarmboot-lazy": LazyScatter(),
    "swarmboot-cache": CachedScatter(),
    "swarmboot+stage0": Stage0Scatter(),
}


def strategy_named(name: str) -> Strategy:
    """Return the strategy of that name; raise MalformedSettingError when there is none."""
    if name not in STRATEGIES:
        raise MalformedSettingError("unknown --strategy", expected=" or ".join(STRATEGIES), found=repr(name))
    return STRATEGIES[name]
