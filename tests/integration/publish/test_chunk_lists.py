"""`publish` writes a list of an image's chunks beside it, `verify` reads it, `prune` drops it with its image."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from swarmboot import errors
from swarmboot.ids import Sequence
from swarmboot.release import key_files, layout, trust
from swarmboot.release.chunks import ChunkList, decode_chunks, encode_chunks
from swarmboot.release.manifest import Artifact, Pinned, decode
from tests.integration.publish.test_verify import Scene, changed
from tests.support.builders import build_release
from tests.support.commands import Done, run

MIB = 1 << 20


class Place:
    """A site whose root image has a list of its chunks, and whose plugin is too small for one."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        self.private, self.public = key_files.write_pair(folder / "keys")
        self.release = build_release(folder / "release", size_bytes=3 * MIB, plugins=["10-a.squashfs"])

    def publish(self, *options: object) -> Done:
        done = run("publish", "--force", self.release, "--site", self.site, "--key", self.private, *options)
        assert done.status == 0, done.err
        return done

    def verify(self) -> Done:
        return run("verify", self.site, "--trust", self.public)

    def root(self, number: int = 1) -> Artifact:
        data = (self.site / layout.manifest_path(Sequence(number))).read_bytes()
        return decode(trust.open_envelope(data, trust.Kind.MANIFEST).payload).root

    def list_of(self, artifact: Artifact) -> Path:
        assert artifact.chunks is not None
        return self.site / layout.blob_path(artifact.chunks.sha256)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    found.publish()
    return found


def test_a_published_image_has_a_list_of_its_chunks_and_a_small_one_has_none(place: Place) -> None:
    root, plugin = place.publish("--json").value["artifacts"]
    assert plugin["chunks"] is None
    data = (place.site / "blobs" / root["chunks"]["sha256"]).read_bytes()
    assert len(data) == root["chunks"]["size_bytes"]
    image = (place.release / "rootfs.squashfs").read_bytes()
    chunks = decode_chunks(data, size_bytes=len(image))
    assert {hashlib.sha256(image[c.first_byte : c.first_byte + c.size_bytes]).digest() == c.sha256 for c in chunks} == {
        True
    }
    assert place.verify().status == 0


def test_the_same_image_has_the_same_list_however_it_is_published(place: Place, tmp_path: Path) -> None:
    assert place.publish("--json").value["is_new"] is False
    other = Place(tmp_path / "other")
    other.release = place.release
    other.publish()
    assert other.root().chunks == place.root().chunks


def test_a_list_that_was_lost_or_altered_is_named_and_brought_back_by_publish(place: Place) -> None:
    path = place.list_of(place.root())
    with changed(path) as data:
        data[-1] ^= 1
    done = place.verify()
    assert done.status == errors.BlobError.exit_status
    assert "is the list of rootfs.squashfs's chunks, holds other bytes" in done.line
    path.unlink()
    assert place.verify().status == errors.BlobError.exit_status
    place.publish()
    assert place.verify().status == 0


@pytest.mark.parametrize("fault", ["another image's", "no list"])
def test_a_list_that_is_signed_and_wrong_is_found_by_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """As a fault of the chunker would make it."""

    def wrong(chunks: ChunkList) -> bytes:
        if fault == "no list":
            return b"nothing"
        return encode_chunks(ChunkList(chunks.lengths, chunks.digests[:64] + bytes(32) + chunks.digests[96:]))

    monkeypatch.setattr("seeder.publish.copier.encode_chunks", wrong)
    place = Place(tmp_path)
    place.publish()
    done = place.verify()
    assert done.status == errors.BlobError.exit_status
    assert ("wrong from chunk 2 on" if fault != "no list" else "cannot be used") in done.line


def test_prune_keeps_lists_of_what_stays_and_drops_those_of_what_goes(place: Place) -> None:
    old = place.list_of(place.root())
    with changed(place.release / "rootfs.squashfs") as data:
        data[2 * MIB] ^= 1
    place.publish()
    new = place.list_of(place.root(2))
    assert new != old
    assert run("prune", place.site, "--keep", "1", "--grace", "0").status == 0
    assert new.is_file()
    assert not old.exists()
    assert place.verify().status == 0


def test_a_site_that_was_published_without_lists_is_right(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert all(artifact.chunks is None for artifact in scene.artifacts())
    assert scene.verify().status == 0


def test_verify_names_nothing_as_left_over_where_there_are_lists(place: Place) -> None:
    value = run("verify", place.site, "--trust", place.public, "--json").value
    assert value["notes"] == []
    assert isinstance(place.root().chunks, Pinned)
