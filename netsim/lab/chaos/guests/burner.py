"""A lease burner: takes every lease it can get, fetches nothing, and says that all has arrived.

    python -m netsim.lab.chaos.guests.burner SERVER CA SITE

It announces with port 0, as a node that is starting, with as many slots as the protocol has, at most `_PER_S` times a
second, until it is killed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from netsim.lab.chaos.guests.announcing import RETRY_S, Announcer, Torrents
from swarmboot.ids import NodeId
from swarmboot.wire.announce import MAX_LEASES, Announce, NodeState

_PER_S = 50.0


def burn(server: str, ca: Path, site: Path) -> None:
    """Burn leases until killed, and print how many so far."""
    announcer, torrents, node = Announcer(server, ca), Torrents(site), NodeId(os.urandom(16))
    held: tuple[int, ...] = ()
    burned = 0
    while True:
        handout = announcer.announce(
            Announce(
                node=node,
                sequence=torrents.sequence,
                state=NodeState.FETCHING,
                port=0,
                have=torrents.nothing(),
                free_lease_slots=MAX_LEASES,
                received=held,  # type: ignore[arg-type]
            )
        )
        held = tuple(lease.id for lease in handout.leases) if handout else ()
        burned += len(held)
        print(f"burned {burned} leases{'' if handout else ', refused'}", flush=True)
        time.sleep(1 / _PER_S if handout else RETRY_S)


if __name__ == "__main__":
    burn(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
