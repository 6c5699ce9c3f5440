"""Torrents: libtorrent's own, byte for byte, and the same for the same bytes."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seeder.site.torrent import (
    Hashes,
    PieceHasher,
    build_torrent,
    check_piece_bytes,
    info_hash_of,
    layer_of,
)
from swarmboot.errors import BlobError, MalformedSettingError
from swarmboot.release.merkle import BLOCK_BYTES
from swarmboot.release.piece_set import piece_bytes_for
from tests.support.builders import build_bytes

SIZES = [1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 65536, 65537, 3 * 65536, 5 * 65536 + 7, 1_000_003]


def hash_bytes(data: bytes, piece_bytes: int, *, chunk_bytes: int = 1 << 20) -> Hashes:
    hasher = PieceHasher(piece_bytes)
    for start in range(0, len(data), chunk_bytes):
        hasher.update(data[start : start + chunk_bytes])
    return hasher.finish()


def libtorrent_makes(folder: Path, data: bytes, piece_bytes: int) -> Any:
    name = hashlib.sha256(data).hexdigest()
    (folder / name).write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        storage = lt.file_storage()
        storage.add_file(name, len(data))
        maker = lt.create_torrent(storage, piece_bytes, lt.create_torrent.v2_only)
        lt.set_piece_hashes(maker, str(folder))
    return maker.generate()


@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("piece_bytes", [BLOCK_BYTES, 1 << 16, 1 << 20])
def test_the_torrent_is_the_one_that_libtorrent_makes(tmp_path: Path, size_bytes: int, piece_bytes: int) -> None:
    data = build_bytes(size_bytes)
    torrent = build_torrent(hash_bytes(data, piece_bytes))
    theirs = libtorrent_makes(tmp_path, data, piece_bytes)
    ours: Any = lt.bdecode(torrent.data)
    assert lt.bencode(ours[b"info"]) == lt.bencode(theirs[b"info"])
    assert ours[b"piece layers"] == theirs[b"piece layers"]
    assert torrent.info_hash == hashlib.sha256(lt.bencode(theirs[b"info"])).digest()


@settings(max_examples=30)
@given(st.integers(1, 300_000), st.sampled_from([1, 3, 16]))
def test_hashes_do_not_depend_on_how_the_bytes_arrive(size_bytes: int, blocks: int) -> None:
    data = build_bytes(size_bytes)
    whole = hash_bytes(data, 1 << 15)
    assert hash_bytes(data, 1 << 15, chunk_bytes=blocks * BLOCK_BYTES) == whole
    assert whole.sha256 == hashlib.sha256(data).digest()
    assert len(whole.layer) == -(-size_bytes // (1 << 15))


def test_one_changed_byte_changes_one_piece_and_the_info_hash() -> None:
    data = bytearray(build_bytes(300_000))
    before = hash_bytes(bytes(data), 1 << 16)
    data[100_000] ^= 1
    after = hash_bytes(bytes(data), 1 << 16)
    is_same = [one == other for one, other in zip(before.layer, after.layer, strict=True)]
    assert is_same == [True, False, True, True, True]
    assert build_torrent(before).info_hash != build_torrent(after).info_hash


def test_a_torrent_names_no_tracker_date_or_maker() -> None:
    torrent: Any = lt.bdecode(build_torrent(hash_bytes(build_bytes(100_000), 1 << 16)).data)
    assert set(torrent) == {b"info", b"piece layers"}
    assert set(torrent[b"info"]) == {b"file tree", b"meta version", b"name", b"piece length"}


def test_a_chunk_after_one_that_ended_within_a_block_is_refused() -> None:
    hasher = PieceHasher(1 << 16)
    hasher.update(b"short")
    with pytest.raises(ValueError, match="only the last chunk"):
        hasher.update(b"more")


def test_the_layer_is_read_back_and_one_piece_needs_none() -> None:
    many, one = hash_bytes(build_bytes(300_000), 1 << 16), hash_bytes(build_bytes(300), 1 << 16)
    assert layer_of(build_torrent(many).data) == many.layer
    assert layer_of(build_torrent(one).data) == ()


@pytest.mark.parametrize("data", [b"", b"garbage", b"d4:infodee", b"<html>"])
def test_what_is_no_torrent_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(BlobError, match=r"^x\.torrent is no torrent"):
        info_hash_of(data, where="x.torrent")


def test_a_layer_that_does_not_belong_to_the_root_is_refused() -> None:
    torrent = bytearray(build_torrent(hash_bytes(build_bytes(300_000), 1 << 16)).data)
    torrent[-10] ^= 1
    with pytest.raises(BlobError, match=r"^x\.torrent is no torrent"):
        info_hash_of(bytes(torrent), where="x.torrent")


def test_a_v1_torrent_is_refused() -> None:
    info: Any = {b"length": 5, b"name": b"x", b"piece length": BLOCK_BYTES, b"pieces": bytes(20)}
    with pytest.raises(BlobError, match="expected BitTorrent v2 only"):
        info_hash_of(lt.bencode({b"info": info}), where="x.torrent")


@pytest.mark.parametrize(
    ("size_bytes", "piece_bytes"),
    [
        (1, 1 << 14),
        ((1 << 20) - 1, 1 << 14),
        (1 << 20, 1 << 16),
        ((1 << 26) - 1, 1 << 16),
        (1 << 26, 1 << 17),
        (1 << 30, 1 << 17),
        (1 << 31, 1 << 17),
        ((1 << 31) + 1, 1 << 18),
        (1 << 36, 1 << 22),
    ],
)
def test_pieces_are_small_and_not_too_many(size_bytes: int, piece_bytes: int) -> None:
    assert piece_bytes_for(size_bytes) == piece_bytes


@given(st.integers(1, 1 << 42))
def test_the_piece_length_chosen_is_always_allowed(size_bytes: int) -> None:
    piece_bytes = piece_bytes_for(size_bytes)
    assert check_piece_bytes(piece_bytes, size_bytes=size_bytes) == piece_bytes
    assert size_bytes < 1 << 20 or -(-size_bytes // piece_bytes) <= 16384


@pytest.mark.parametrize("piece_bytes", [-1, 1, 8192, 3 << 14, 100_000, 1 << 29])
def test_a_piece_length_that_bittorrent_does_not_know_is_refused(piece_bytes: int) -> None:
    with pytest.raises(MalformedSettingError, match="not a piece length"):
        check_piece_bytes(piece_bytes, size_bytes=1 << 20)


def test_a_piece_length_that_makes_too_many_pieces_is_refused() -> None:
    with pytest.raises(MalformedSettingError, match="too small for this file"):
        check_piece_bytes(1 << 14, size_bytes=(1 << 34) + 1)
