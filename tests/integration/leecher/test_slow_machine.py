"""A machine that verifies slower than its link brings bytes takes each of them once."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.loopback import asking, booting, build_fleet, build_release, serving

SIZE_BYTES = 24_000_000
LATE_S = 4.0

_LATE = f"""
import sys, time
del sys.argv[1:3]  # -m leecher
from leecher.policy.events import PieceFinished
from leecher.swarm.session import Swarm
events, late = Swarm.events, []
def slowly(swarm):
    due_s = time.monotonic() + {LATE_S}
    came = events(swarm)
    late.extend((due_s, each) for each in came if isinstance(each, PieceFinished))
    due = [each for due_s, each in late if due_s <= time.monotonic()]
    del late[:len(due)]
    return [each for each in came if not isinstance(each, PieceFinished)] + due
Swarm.events = slowly
from leecher.boot.start import main
main(time.monotonic())
"""


def test_what_is_still_being_verified_is_not_fetched_again(tmp_path: Path) -> None:
    """A lease is void three seconds after its last byte if its piece has not been shown by then."""
    release = build_release(tmp_path / "release", size_bytes=SIZE_BYTES, plugins=0)
    (release / "plugins").rmdir()
    fleet = build_fleet(tmp_path / "fleet", release)
    python = (sys.executable, "-c", _LATE)
    with (
        serving(fleet, "--uplink", "100mbit") as seeder,
        booting(tmp_path, 1, *asking(seeder, fleet), python=python) as node,
    ):
        status, said = node.end()
        report = node.report()
    assert status == 0, said
    assert report["bytes_from"] == {"neighbours": 0, "origin": SIZE_BYTES}
    assert report["rescues"] == 0
