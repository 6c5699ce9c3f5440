"""Which machine a node is, told once; and whether a system is to speak after it."""

from __future__ import annotations

import pytest

from leecher.boot.boot import Boot
from leecher.boot.options import BootOptions
from leecher.swarm.announcer import Introduction
from leecher.swarm.counters import BootCounters
from swarmboot.ids import new_node_id
from swarmboot.settings import build_settings
from swarmboot.wire.about import About


def test_a_node_says_which_machine_it_is_until_it_was_heard_once_and_again_under_another_name() -> None:
    counters = BootCounters(new_node_id(), 0.0)
    told = Introduction(counters)
    assert told.about() is None  # nobody knows yet
    told.answered()
    counters.about = About(mac="52:54:00:00:00:01")
    assert told.about() == told.about() == counters.about
    told.answered()
    assert told.about() is None
    counters.take_new_name()
    assert told.about() == counters.about


@pytest.mark.parametrize(
    ("is_unpacked", "seed", "hands_off"), [(True, "100mbit", True), (True, "0", False), (False, "100mbit", False)]
)
def test_only_an_initramfs_whose_system_will_say_a_word_says_that_it_hands_off(
    is_unpacked: bool, seed: str, hands_off: bool
) -> None:
    settings = build_settings({"trust": "fleet.pub", "discovery": "on", "seed": seed})
    boot = Boot(BootOptions(settings, 0.0, is_unpacked=is_unpacked), tell=print)
    assert boot.counters.report().hands_off is hands_off
