"""An ordinary libtorrent swarm: default settings everywhere, the server an ordinary seeder with a tracker beside it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from netsim.lab.rack.layout import SERVER_ADDRESS
from netsim.lab.strategies.programs.tracker import PORT
from netsim.lab.strategies.strategy import NodeProgram
from netsim.lab.strategies.torrent import Version, make_torrent

if TYPE_CHECKING:
    from pathlib import Path

    from netsim.lab.rack.layout import Node
    from netsim.lab.strategies.strategy import RunContext

_PROGRAMS = "netsim.lab.strategies.programs"


def start_tracker(context: RunContext) -> Path:
    """Start the tracker and return its log, which has a line as soon as somebody has announced."""
    log_path = context.directory / "announces.log"
    tracker = context.start_server(
        "tracker", sys.executable, "-m", f"{_PROGRAMS}.tracker", SERVER_ADDRESS, str(PORT), str(log_path)
    )
    context.await_port(tracker, PORT)
    return log_path


def _peer(context: RunContext, folder: Path, done_path: Path, *more: str) -> tuple[str, ...]:
    torrent = str(context.directory / "image.torrent")
    return (sys.executable, "-m", f"{_PROGRAMS}.stock_peer", torrent, str(folder), str(done_path), *more)


class StockLibtorrent:
    """What a program gets that uses libtorrent and sets nothing."""

    tools: ClassVar[dict[str, str]] = {}
    moves_whole_release = False

    def serve(self, context: RunContext) -> None:
        """Start a tracker and the seeder, and wait until the tracker knows the seeder."""
        make_torrent(context.payload.image, context.directory / "image.torrent", Version.V2)
        start_tracker(context)
        known = context.directory / "seeder.known"
        seeder = context.start_server("seeder", *_peer(context, context.payload.image.parent, known, "seed"))
        context.await_server(seeder, known.exists)

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return one peer; the node is complete when its image is on disk."""
        done_path = context.directory / f"node{node.index}.done"
        return NodeProgram(_peer(context, context.node_folder(node), done_path), done_path=done_path)
