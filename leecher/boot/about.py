"""Which machine this is, found out beside the boot, which does not wait for it: a name server may be asked."""

from __future__ import annotations

import threading

from leecher.machine.this_boot import read_machine
from leecher.swarm.counters import BootCounters
from swarmboot.settings import NodeSettings
from swarmboot.wire.about import About


def learn_about(settings: NodeSettings, counters: BootCounters) -> None:
    """Have `counters.about` filled in by a thread of its own; not without a seeder, whom alone it is told."""

    def read() -> None:
        machine = read_machine(settings.server, settings.bind)
        counters.about = About(machine.boot, machine.mac, machine.name, settings.channel, machine.kernel)

    if settings.server:
        threading.Thread(target=read, name="about", daemon=True).start()
