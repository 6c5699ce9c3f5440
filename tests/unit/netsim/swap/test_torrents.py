"""How a release is cut into pieces: as the programs that are simulated do it."""

from __future__ import annotations

import libtorrent as lt
import pytest

from netsim.delivery.stock import stock_piece_bytes
from netsim.scenario.scenario import Release
from netsim.swap.torrents import Torrents
from swarmboot.release.piece_set import piece_bytes_for


@pytest.mark.parametrize(
    "size_bytes", [1, 2_684_355, 2_684_356, 10_000_000, 11_000_000, 64 << 20, 130_000_000, 700_000_000, 30 << 30]
)
def test_a_stock_torrent_has_libtorrents_own_piece_length(size_bytes: int) -> None:
    made = lt.create_torrent([lt.create_file_entry("image", size_bytes)], 0, lt.create_torrent.v2_only)
    assert stock_piece_bytes(size_bytes) == made.piece_length()


def test_our_own_torrents_have_the_piece_length_that_publish_gives() -> None:
    sizes = (100_000, 30_000_000, 130_000_000)
    images = Torrents(Release(images=sizes)).images
    assert [image.piece_bytes for image in images] == [piece_bytes_for(size) for size in sizes]
    assert [image.piece_bytes for image in Torrents(Release(images=sizes, piece_bytes=1 << 20)).images] == [1 << 20] * 3
