"""`swarmboot verify`: nothing in a site can be wrong without being named."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest

from seeder.publish.publish import PublishOptions, publish
from seeder.publish.release_dir import read_release
from seeder.site.issue import issue
from seeder.site.progress import NoProgress
from seeder.site.torrent import PieceHasher, build_torrent
from seeder.site.writer import writing
from swarmboot import errors
from swarmboot.codec import pack, unpack
from swarmboot.errors import SwarmbootError
from swarmboot.ids import Sequence
from swarmboot.release import key_files, layout, trust
from swarmboot.release.manifest import Artifact, decode, encode
from tests.support.builders import build_artifact, build_manifest, build_release
from tests.support.commands import Done, run, run_program


class Scene:
    """A published site of one root image and one plugin, and the key it was signed with."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        self.private, self.public = key_files.write_pair(folder / "keys")
        self.release = build_release(folder / "release", size_bytes=300_000, plugins=["10-a.squashfs"])
        self.publish()
        self.root, self.plugin = self.artifacts()

    def publish(self, *options: object) -> None:
        done = run("publish", "--force", self.release, "--site", self.site, "--key", self.private, *options)
        assert done.status == 0, done.err

    def artifacts(self) -> tuple[Artifact, ...]:
        data = (self.site / layout.manifest_path(Sequence(1))).read_bytes()
        payload = trust.open_envelope(data, trust.Kind.MANIFEST).payload
        return decode(payload).artifacts

    def verify(self, *options: object) -> Done:
        return run("verify", self.site, "--trust", self.public, *options)

    def blob(self, artifact: Artifact) -> Path:
        return self.site / layout.blob_path(artifact.sha256)

    def torrent(self, artifact: Artifact) -> Path:
        return self.site / layout.torrent_path(artifact.info_hash)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@contextmanager
def changed(path: Path) -> Iterator[bytearray]:
    """Give a file's bytes to change in place."""
    data = bytearray(path.read_bytes())
    yield data
    path.write_bytes(data)


def test_a_right_site_is_right_down_to_the_last_piece(scene: Scene) -> None:
    value = scene.verify("--json").value
    assert (value["blobs"], value["checked_bytes"], value["notes"]) == (2, 303_004, [])
    (channel,) = value["channels"]
    assert [artifact["pieces"] for artifact in channel["artifacts"]] == [19, 1]
    done = run_program("verify", scene.site, "--trust", scene.public)
    assert done.status == 0
    assert "is right: 2 blobs, 295.9 KiB" in done.out
    assert "verified rootfs.squashfs" in done.err


@pytest.mark.parametrize(("offset", "piece"), [(0, 0), (5 * 16384, 5), (-1, 18)])
def test_one_wrong_byte_anywhere_in_a_blob_is_found_and_its_piece_named(scene: Scene, offset: int, piece: int) -> None:
    with changed(scene.blob(scene.root)) as data:
        data[offset] ^= 1
    done = scene.verify()
    assert done.status == errors.BlobError.exit_status
    assert f"expected sha256 {scene.root.sha256.hex()}" in done.line
    assert f"wrong from piece {piece} of 19 on" in done.line
    assert str(scene.blob(scene.root)) in done.line


def truncated(scene: Scene) -> None:
    with changed(scene.blob(scene.root)) as data:
        del data[-1]


def blob_missing(scene: Scene) -> None:
    scene.blob(scene.plugin).unlink()


def torrent_missing(scene: Scene) -> None:
    scene.torrent(scene.root).unlink()


def torrent_garbled(scene: Scene) -> None:
    scene.torrent(scene.root).write_bytes(b"<html>")


def torrent_of_another(scene: Scene) -> None:
    shutil.copy(scene.torrent(scene.plugin), scene.torrent(scene.root))


def torrent_without_its_layer(scene: Scene) -> None:
    torrent: Any = lt.bdecode(scene.torrent(scene.root).read_bytes())
    scene.torrent(scene.root).write_bytes(lt.bencode({b"info": torrent[b"info"], b"piece layers": {}}))


def torrent_with_another_layer(scene: Scene) -> None:
    with changed(scene.torrent(scene.root)) as data:
        data[-10] ^= 1


def torrent_too_large(scene: Scene) -> None:
    with scene.torrent(scene.root).open("ab") as file:
        file.truncate(layout.TORRENT_MAX_BYTES + 1)


def manifest_missing(scene: Scene) -> None:
    (scene.site / "manifests" / "1.swarm").unlink()
    (scene.site / "manifests" / "9.swarm").write_bytes(b"x")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncated, "has the wrong size: expected 300000 bytes, found 299999"),
        (blob_missing, "which is 10-a.squashfs, cannot be read: expected 3004 bytes, found No such file"),
        (torrent_missing, "cannot be read: found No such file"),
        (torrent_garbled, "is no torrent"),
        (torrent_of_another, "is another torrent than rootfs.squashfs's: expected info-hash"),
        (torrent_without_its_layer, "does not hold the hashes of rootfs.squashfs's pieces: expected 19 hashes"),
        (torrent_with_another_layer, "is no torrent"),
        (torrent_too_large, "is too large: expected at most 67108864 bytes"),
        (manifest_missing, "manifests/1.swarm cannot be read"),
    ],
)
def test_a_missing_or_altered_file_is_named(scene: Scene, damage: Callable[[Scene], None], words: str) -> None:
    damage(scene)
    done = scene.verify()
    assert done.status == errors.BlobError.exit_status
    assert words in done.line


def test_several_wrong_files_are_counted(scene: Scene) -> None:
    truncated(scene)
    blob_missing(scene)
    assert "1 more of its files are wrong" in scene.verify().line


def flip(relative: str, offset: int) -> Callable[[Scene], None]:
    def damage(scene: Scene) -> None:
        with changed(scene.site / relative) as data:
            data[offset] ^= 1

    return damage


def manifest_too_large(scene: Scene) -> None:
    (scene.site / "manifests" / "1.swarm").write_bytes(bytes(trust.ENVELOPE_MAX_BYTES + 1))


def channel_of_another_name(scene: Scene) -> None:
    shutil.copy(scene.site / "channels" / "stable.swarm", scene.site / "channels" / "edge.swarm")


def channel_is_html(scene: Scene) -> None:
    (scene.site / "channels" / "stable.swarm").write_text("<html>")


def manifest_rolled_back(scene: Scene) -> None:
    (scene.release / "plugins" / "20-b.squashfs").write_bytes(b"hsqs")
    scene.publish()
    shutil.copy(scene.site / "manifests" / "1.swarm", scene.site / "manifests" / "2.swarm")


def signed_with_a_critical_field(scene: Scene) -> None:
    key = key_files.read_private(scene.private)
    value = unpack(encode(build_manifest(sequence=Sequence(2))), max_bytes=1 << 20)
    signed = trust.sign(trust.Kind.MANIFEST, pack({**value, "crit": ["verity"], "verity": 1}), [key])
    (scene.site / "manifests" / "2.swarm").write_bytes(signed)
    pointer = trust.encode_channel(trust.Channel("test", "stable", Sequence(2), bytes(32)))
    channel = trust.encode_channel_file(trust.sign(trust.Kind.CHANNEL, pointer, [key]), [])
    (scene.site / "channels" / "stable.swarm").write_bytes(channel)


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (flip("manifests/1.swarm", 200), errors.SignatureError),
        (flip("manifests/1.swarm", -1), errors.SignatureError),
        (flip("manifests/1.swarm", 0), errors.ManifestError),
        (flip("channels/stable.swarm", 60), errors.SignatureError),
        (manifest_too_large, errors.ManifestError),
        (channel_of_another_name, errors.ManifestError),
        (channel_is_html, errors.ManifestError),
        (manifest_rolled_back, errors.BlobError),
        (signed_with_a_critical_field, errors.ManifestError),
    ],
)
def test_what_the_keys_do_not_vouch_for_is_refused(
    scene: Scene, damage: Callable[[Scene], None], kind: type[SwarmbootError]
) -> None:
    damage(scene)
    done = scene.verify()
    assert done.status == kind.exit_status, done.err
    assert done.out == ""


def test_another_public_key_is_refused(scene: Scene, tmp_path: Path) -> None:
    _, public = key_files.write_pair(tmp_path / "other")
    assert run("verify", scene.site, "--trust", public).status == errors.ThresholdError.exit_status


def test_too_few_keys_are_refused(scene: Scene, tmp_path: Path) -> None:
    _, second = key_files.write_pair(tmp_path / "other")
    fleet = tmp_path / "fleet.pub"
    fleet.write_text(f"threshold 2\n{scene.public.read_text()}{second.read_text()}")
    done = run("verify", scene.site, "--trust", fleet)
    assert done.status == errors.ThresholdError.exit_status
    assert "expected 2 of" in done.line
    assert "found 1, signed by" in done.line


def test_an_expired_manifest_is_refused(scene: Scene) -> None:
    with writing(scene.site) as writer:
        publish(
            read_release(scene.release),
            [key_files.read_private(scene.private)],
            writer=writer,
            options=PublishOptions(life_s=3600),
            now_unix_s=1e9,
            progress=NoProgress(),
        )
    done = scene.verify()
    assert done.status == errors.ExpiredError.exit_status
    assert "hours ago" in done.line


def test_one_channel_can_be_checked_alone(scene: Scene) -> None:
    scene.publish("--channel", "edge")
    channel_is_html(scene)
    assert scene.verify().status == errors.ManifestError.exit_status
    assert scene.verify("--channel", "edge").status == 0
    done = scene.verify("--channel", "none")
    assert done.status == errors.SiteError.exit_status
    assert "expected one of edge, stable" in done.line


def test_what_belongs_to_no_manifest_is_noted(scene: Scene) -> None:
    (scene.site / "blobs" / "stray").write_bytes(b"x")
    (scene.site / "manifests" / "5.swarm").write_bytes(b"x")
    notes = scene.verify("--json").value["notes"]
    assert notes == [
        "older manifests are kept, unchecked: 5",
        "manifests/5.swarm cannot be read, and no channel points to it",
        "blobs/stray belongs to no manifest",
    ]


def test_what_is_no_site_is_refused(tmp_path: Path) -> None:
    _, public = key_files.write_pair(tmp_path / "keys")
    done = run("verify", tmp_path, "--trust", public)
    assert done.status == errors.SiteError.exit_status


def test_a_torrent_that_describes_other_bytes_than_its_blob_is_refused_even_if_signed(scene: Scene) -> None:
    hasher = PieceHasher(1 << 16)
    hasher.update(b"other bytes")
    torrent = build_torrent(hasher.finish())
    scene.site.joinpath(layout.torrent_path(torrent.info_hash)).write_bytes(torrent.data)
    root = build_artifact(
        sha256=scene.root.sha256, size_bytes=scene.root.size_bytes, info_hash=torrent.info_hash, piece_bytes=1 << 16
    )
    manifest = build_manifest(artifacts=(root,), expires_unix_s=2**40)
    with writing(scene.site) as writer:
        issue(writer, manifest, "stable", [key_files.read_private(scene.private)])
    assert scene.verify().status == errors.BlobError.exit_status
