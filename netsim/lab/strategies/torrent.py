"""Make the torrent file of one image, for the strategies that are ordinary swarms."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import libtorrent as lt

from netsim.lab.rack.layout import SERVER_ADDRESS
from netsim.lab.strategies.programs.tracker import PORT

if TYPE_CHECKING:
    from pathlib import Path

ANNOUNCE_URL = f"http://{SERVER_ADDRESS}:{PORT}/announce"


class Version(enum.Enum):
    """The protocol version a torrent is for: BEP 3 or BEP 52."""

    V1 = "v1"
    V2 = "v2"


def make_torrent(image: Path, torrent: Path, version: Version) -> None:
    """Write a torrent of `image` with the piece size that libtorrent chooses and the lab's tracker in it."""
    flags = lt.create_torrent.v1_only if version is Version.V1 else lt.create_torrent.v2_only
    made = lt.create_torrent([lt.create_file_entry(image.name, image.stat().st_size)], 0, flags)
    made.add_tracker(ANNOUNCE_URL)
    lt.set_piece_hashes(made, str(image.parent))
    torrent.write_bytes(lt.bencode(made.generate()))
