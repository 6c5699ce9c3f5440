"""What a boot reads comes from neighbours before what is rarer among them."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from leecher.boot.head_start import HeadStart
from leecher.boot.options import BootOptions
from leecher.policy.events import PieceFinished
from leecher.swarm.session import Swarm
from swarmboot.release import layout
from swarmboot.release import piece_set as sets
from swarmboot.release.manifest import Artifact
from swarmboot.release.piece_set import Pieces
from swarmboot.settings import build_settings
from swarmboot.wire.announce import Neighbour
from tests.support.loopback import build_fleet, build_release, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libtorrent 2.1 on calls that 2.0 needs

READ = 20
Image = tuple[Artifact, bytes, bytes]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Return an artifact of which a boot reads the first pieces, its torrent, and its bytes."""
    release = build_release(tmp_path / "release", plugins=0)
    fleet = build_fleet(tmp_path, release)
    with serving(fleet) as seeder:
        given = {
            "server": seeder.address,
            "trust": str(fleet.pub),
            "ca": str(seeder.ca),
            "into": str(tmp_path / "into"),
        }
        settings = build_settings({**given, "bind": "127.0.0.21", "reserve": "0"})
        head_start = HeadStart(BootOptions(settings, time.monotonic())).begin()
        found = head_start.release()
        head_start.abandon()
    assert found is not None
    (artifact,) = found.manifest.artifacts
    torrent = found.documents[layout.torrent_path(artifact.info_hash)]
    return replace(artifact, trace=((0, READ),)), torrent, (release / "rootfs.squashfs").read_bytes()


def start_swarm(folder: Path, address: str, image: Image, *, have: Pieces = 0, up_bytes_per_s: float = 0.0) -> Swarm:
    """Return a node in its lazy window, which has some pieces and serves them at that rate."""
    folder.mkdir()
    artifact, torrent, data = image
    swarm = Swarm(bind=address, port=0, up_bytes_per_s=up_bytes_per_s, is_lazy=True)
    swarm.add(artifact, torrent, folder, artifact.name)

    def look() -> bool:
        swarm.events()
        return bool(swarm.port) and swarm.is_checked(artifact.info_hash)

    wait_until("a torrent that could start", look)
    swarm.start(artifact.info_hash, ())
    for index in sets.each(have):
        swarm.insert(artifact.info_hash, index, data[index * artifact.piece_bytes :][: artifact.piece_bytes])

    def has_all() -> bool:
        swarm.events()
        return swarm.pieces(artifact.info_hash) == have

    wait_until("what was handed in", has_all)
    return swarm


def test_what_a_boot_reads_comes_before_what_fewer_neighbours_have(tmp_path: Path, image: Image) -> None:
    """One neighbour has nearly all, three the boot set: what of it they do not send in time the first one does."""
    artifact = image[0]
    stocks = (sets.all_pieces(artifact.pieces - 1), *[sets.all_pieces(READ)] * 3)
    with ExitStack() as stack:
        neighbours = []
        for place, have in enumerate(stocks):
            address = f"127.0.0.{22 + place}"
            swarm = start_swarm(tmp_path / address, address, image, have=have, up_bytes_per_s=2e5 if place else 8e5)
            stack.enter_context(closing(swarm))
            neighbours.append(Neighbour(address, swarm.port, 0))
        node = stack.enter_context(closing(start_swarm(tmp_path / "node", "127.0.0.21", image)))
        node.connect(artifact.info_hash, neighbours)
        came: list[int] = []

        def is_read() -> bool:
            came.extend(event.index for event in node.events() if isinstance(event, PieceFinished))
            return sum(index < READ for index in came) == READ

        wait_until("what a boot reads", is_read)
    assert len(came) < READ + 14, "beside what comes while the last of it is on its way"
