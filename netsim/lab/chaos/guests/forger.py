"""Forged nodes: each claims to have everything, at an address where nobody listens.

    python -m netsim.lab.chaos.guests.forger SERVER CA SITE ADDRESS...

One forged node speaks from each address, and names a port that is closed there, until it is killed.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from netsim.lab.chaos.guests.announcing import Announcer, Torrents
from swarmboot.ids import NodeId
from swarmboot.wire.announce import Announce, NodeState

_CLOSED_PORT = 9
_EVERY_S = 1.0
_ANSWER_S = 0.5
"""The seeder lets nodes wait for its answer; what was said counts at once."""


def forge(server: str, ca: Path, torrents: Torrents, address: str) -> None:
    """Announce one forged node again and again."""
    announcer = Announcer(server, ca, source=address, timeout_s=_ANSWER_S)
    announce = Announce(
        node=NodeId(os.urandom(16)),
        sequence=torrents.sequence,
        state=NodeState.COMPLETE,
        port=_CLOSED_PORT,
        http_port=_CLOSED_PORT,
        have=torrents.everything(),
    )
    while True:
        is_answered = announcer.announce(announce) is not None
        print(f"{address} has spoken{'' if is_answered else ', without an answer'}", flush=True)
        time.sleep(_EVERY_S)


def main() -> None:
    """Read the command line and forge, a thread for each address."""
    server, ca, site, *addresses = sys.argv[1:]
    torrents = Torrents(Path(site))
    threads = [threading.Thread(target=forge, args=(server, Path(ca), torrents, address)) for address in addresses]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
