"""Run the demo: publish a release, boot a rack of real leechers on loopback from it, show it, compare the images."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.live import Live

from netsim.demo import board
from netsim.demo.children import Children
from netsim.demo.rack import NodeView, Rack, publish
from netsim.demo.release import sample_release
from netsim.lab.rack.signals import stopped_by_signals
from swarmboot.cli import exit_for
from swarmboot.errors import IntegrityError, LabError, SpaceError, SwarmbootError
from swarmboot.text.units import format_rate, format_size, parse_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOOK_EVERY_S = 0.1
_LINE_EVERY_S = 1.0
_MAX_NODES = 64
_SPARE_BYTES = 256 << 20
_START_UP_BOUND_S = 60.0
_INTERRUPTED = 130
_CONSOLE = Console(stderr=True, highlight=False)


def _say(line: str) -> None:
    _CONSOLE.print(line, markup=False, soft_wrap=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--release", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Your own release.")
@click.option("--nodes", type=click.IntRange(1, _MAX_NODES), default=8, show_default=True, help="Leechers to start.")
@click.option("--uplink", default="100mbit", show_default=True, metavar="RATE", help="What the server may send.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object in place of the table.")
def main(release: Path | None, nodes: int, uplink: str, is_json: bool) -> None:
    """Publish a release and boot a rack of real leechers from it, on this machine's loopback addresses.

    \b
    Example:
      python -m netsim.demo --release release/ --nodes 8
    """
    try:
        with stopped_by_signals():
            rate_bytes_per_s = parse_rate(uplink)
            outcome = _demo(release or sample_release(say=_say), nodes=nodes, uplink_bytes_per_s=rate_bytes_per_s)
        _tell(outcome, is_json=is_json)
    except KeyboardInterrupt:
        _say("stopped; everything the demo started has ended and its files are gone")
        sys.exit(_INTERRUPTED)
    except (SwarmbootError, OSError) as error:
        exit_for(error)


def _tell(outcome: board.Outcome, *, is_json: bool) -> None:
    if is_json:
        print(json.dumps(outcome.as_dict()))
    else:
        console = Console(highlight=False)
        console.print(board.table(outcome))
        console.print(board.summary(outcome), soft_wrap=True)
    if wrong := [address for address, names in outcome.differing.items() if names]:
        raise IntegrityError("images differ from the published ones", found=f"on {', '.join(wrong)}")


def _demo(release: Path, *, nodes: int, uplink_bytes_per_s: float) -> board.Outcome:
    with _workplace(release, nodes=nodes) as work, Children() as children:
        published = publish(release, work=work)
        _say(
            f"published: {format_size(published.size_bytes)} that every node needs, in {len(published.digests)} images"
        )
        rack = Rack(published, children, work=work)
        server = rack.serve(uplink_bytes_per_s=uplink_bytes_per_s)
        _say(f"serving on {server}, uplink {format_rate(uplink_bytes_per_s)}; {nodes} leechers start together")
        unicast_s = nodes * published.size_bytes / uplink_bytes_per_s
        rack.boot(server, nodes=nodes)
        views = _watch(rack, size_bytes=published.size_bytes, bound_s=_START_UP_BOUND_S + 3 * unicast_s)
        differing = {node.address: rack.differing(node) for node in rack.nodes}
    return board.Outcome(views, differing, published.size_bytes, uplink_bytes_per_s, os.cpu_count() or 1)


@contextlib.contextmanager
def _workplace(release: Path, *, nodes: int) -> Iterator[Path]:
    """Give a folder that is removed afterwards, in memory if that has room for a site and every node's images."""
    release_bytes = sum(path.stat().st_size for path in release.rglob("*") if path.is_file())
    needed_bytes = (nodes + 1) * release_bytes + _SPARE_BYTES
    places = [Path("/dev/shm"), Path(tempfile.gettempdir()), Path("/var/tmp")]  # noqa: S108 - asked for room only
    fitting = [place for place in places if place.is_dir() and _room_bytes(place) >= needed_bytes]
    if not fitting:
        raise SpaceError(
            f"no room for a rack of {nodes}", expected=f"{format_size(needed_bytes)} free in one of "
            f"{', '.join(map(str, places))}", hint="take fewer nodes, or name another folder in TMPDIR",
        )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=fitting[0], prefix="swarmboot-demo-") as work:
        yield Path(work)


def _room_bytes(place: Path) -> int:
    """Return the bytes free in a folder, no more than half of the memory available if the folder is in memory."""
    free_bytes = shutil.disk_usage(place).free
    if place != Path("/dev/shm"):  # noqa: S108 - asked for room only
        return free_bytes
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return min(free_bytes, int(line.split()[1]) * 1024 // 2)
    return 0


def _watch(rack: Rack, *, size_bytes: int, bound_s: float) -> list[NodeView]:
    """Show the rack until every node is complete; return the last views. Raises LabError when `bound_s` has passed."""
    started_s = time.monotonic()
    with _showing(size_bytes) as show:
        while True:
            elapsed_s = time.monotonic() - started_s
            views = rack.look()
            show(views, elapsed_s)
            if all(view.seconds_s is not None for view in views):
                return views
            if elapsed_s > bound_s:
                complete = sum(view.seconds_s is not None for view in views)
                raise LabError("the rack did not boot in time", expected=f"{len(views)} nodes within {bound_s:.0f} s",
                               found=f"{complete} complete")  # fmt: skip
            time.sleep(_LOOK_EVERY_S)


@contextlib.contextmanager
def _showing(size_bytes: int) -> Iterator[Callable[[list[NodeView], float], None]]:
    """Give what shows the nodes: live bars on a terminal, else a line a second."""
    if not _CONSOLE.is_terminal:
        shown_s = -_LINE_EVERY_S

        def print_line(views: list[NodeView], elapsed_s: float) -> None:
            nonlocal shown_s
            if elapsed_s - shown_s >= _LINE_EVERY_S or all(view.seconds_s is not None for view in views):
                shown_s = elapsed_s
                _say(board.plain(views, size_bytes=size_bytes, elapsed_s=elapsed_s))

        yield print_line
        return
    with Live(console=_CONSOLE, auto_refresh=False) as live:
        yield lambda views, elapsed_s: live.update(
            board.bars(views, size_bytes=size_bytes, elapsed_s=elapsed_s), refresh=True
        )


if __name__ == "__main__":
    main()
