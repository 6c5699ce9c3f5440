"""Rows about the site: it gets a new release and is pruned, its disk fills up, its publisher is killed, in mid-boot."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING

from netsim.lab.chaos.rows.row import Row

if TYPE_CHECKING:
    from netsim.lab.chaos.rack import Rack

_LATE = 3
_SLOWNESS = 3
_KILLS = 50
_SPARE_BYTES = 1 << 20
_ON_TMPFS = 'mkdir "$0" && mount -t tmpfs -o "size=$1" swarmlab "$0" && cp -r "$2/." "$0" && shift 2 && exec "$@"'


def _pruned(rack: Rack) -> None:
    for place in rack.layout.nodes:  # or everybody has booted before the publisher has
        rack.network.slow_down(place, rack.terms.rate_bytes_per_s / _SLOWNESS)
    rack.start_seeder()
    rack.begin()
    early, late = rack.layout.nodes[:-_LATE], rack.layout.nodes[-_LATE:]
    rack.boots += [rack.start(place) for place in early]
    rack.until_progress(0.02)
    rack.require("publish", *rack.depot.publish_command("next", rack.site))
    rack.require("prune", "swarmboot", "prune", str(rack.site), "--keep", "1", "--grace", "0")
    rack.must_be_in_mid_boot("pruning")
    rack.boots += [rack.start(place) for place in late]
    rack.finish()
    _verify(rack, "")


def _disk_full(rack: Rack) -> None:
    """Publishing a release that does not fit is refused; the site's mount is the seeder's own and goes with it."""
    site = rack.directory / "full"
    size_bytes = sum(path.stat().st_size for path in rack.site.rglob("*") if path.is_file()) + _SPARE_BYTES
    mounted = ("unshare", "--mount", "sh", "-c", _ON_TMPFS, str(site), str(size_bytes), str(rack.site))
    rack.start_seeder(before=mounted, site=site)
    assert rack.seeder is not None
    within = ("nsenter", f"--mount=/proc/{rack.seeder.popen.pid}/ns/mnt", "--", sys.executable, "-m")
    rack.start_all()
    rack.until_progress(0.02)
    status, words = rack.run_at_server("publish", *within, *rack.depot.publish_command("next", site))
    if status == 0:
        rack.faults.append("publish says that a full disk held everything")
    elif "Traceback" in words or not words.startswith("swarmboot: "):
        rack.faults.append(f"publish ended with {status} and no line of its own: {words}")
    rack.finish()
    verify = ("swarmboot", "verify", str(site), "--trust", str(rack.depot.trust))
    status, words = rack.run_at_server("verify", *within, *verify)
    if status != 0:
        rack.faults.append(f"after a publish on a full disk, verify ended with {status}: {words}")


def _publish_killed(rack: Rack) -> None:
    rack.start_seeder()
    rack.start_all()
    began_s = time.monotonic()
    rack.require("publish", *rack.depot.publish_command("next", rack.site))
    whole_s = time.monotonic() - began_s
    kills = math.ceil(_KILLS / rack.terms.seeds)
    for number in range(kills):
        command = (sys.executable, "-m", *rack.depot.publish_command(("current", "next")[number % 2], rack.site))
        at_s = rack.random.uniform(0.2, 1.0) * whole_s
        rack.kill_after(f"publish {number}", at_s, *command)
        _verify(rack, f" after kill {number} at {at_s:.3f} s")
    rack.require("publish", *rack.depot.publish_command("current", rack.site))
    _verify(rack, " at the end")
    rack.finish()


def _verify(rack: Rack, when: str) -> None:
    rack.require(f"verify{when}", "swarmboot", "verify", str(rack.site), "--trust", str(rack.depot.trust))


ROWS = (
    Row(
        "published-and-pruned",
        f"A new release is published in mid-boot, all else pruned at once, {_LATE} nodes come after; links are slower.",
        _pruned,
        releases=("current", "next"),
    ),
    Row("disk-full", "The site's disk fills up while a new release is published in mid-boot.", _disk_full),
    Row(
        "publish-killed",
        f"Publishing is killed at {_KILLS} random moments, shared among the seeds; the site stays whole each time.",
        _publish_killed,
        releases=("current", "next"),
    ),
)
