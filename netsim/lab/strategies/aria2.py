"""An aria2 swarm: one aria2c on the server and one on every node, with the flags a careful operator would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from netsim.lab.strategies.libtorrent import start_tracker
from netsim.lab.strategies.strategy import NodeProgram
from netsim.lab.strategies.torrent import Version, make_torrent

if TYPE_CHECKING:
    from pathlib import Path

    from netsim.lab.rack.layout import Node
    from netsim.lab.strategies.strategy import RunContext

_HOOK = '#!/bin/sh\n: > "$(dirname "$3").done"\n'
"""Called by aria2 with id, number of files and first file when a download is complete, before it seeds."""


def aria2_command(torrent: Path, folder: Path, *more: str) -> tuple[str, ...]:
    """Return an aria2c that downloads or seeds `torrent` in `folder` for ever.

    `--bt-max-peers=0` lifts the limit of 55 peers, and the request limit is far above any link here, so that aria2
    goes on looking for peers as long as it is not full.
    """
    return (
        "aria2c", "--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
        "--bt-max-peers=0", "--bt-request-peer-speed-limit=1024M", "--seed-ratio=0.0", "--file-allocation=none",
        "--max-concurrent-downloads=1", "--listen-port=6881", f"--dir={folder}", *more, str(torrent),
    )  # fmt: skip


class Aria2:
    """aria2c everywhere; BitTorrent v1, which is all it knows."""

    tools: ClassVar[dict[str, str]] = {"aria2c": "aria2"}
    moves_whole_release = False

    def serve(self, context: RunContext) -> None:
        """Start a tracker and the seeder, and wait until the tracker has its announce."""
        torrent = context.directory / "image.torrent"
        make_torrent(context.payload.image, torrent, Version.V1)
        hook = context.directory / "complete.sh"
        hook.write_text(_HOOK)
        hook.chmod(0o700)
        log_path = start_tracker(context)
        command = aria2_command(
            torrent, context.payload.image.parent, "--bt-seed-unverified=true", "--check-integrity=false"
        )
        seeder = context.start_server("seeder", *command)
        context.await_server(seeder, log_path.exists)

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return one aria2c; the node is complete when aria2 calls its completion hook."""
        folder = context.node_folder(node)
        hook = f"--on-bt-download-complete={context.directory / 'complete.sh'}"
        return NodeProgram(
            aria2_command(context.directory / "image.torrent", folder, hook),
            done_path=folder.with_name(f"{folder.name}.done"),
        )
