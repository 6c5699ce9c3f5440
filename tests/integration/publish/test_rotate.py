"""`swarmboot rotate` and `swarmboot prune`: keys and old releases go, nodes stay."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from seeder.site.issue import point
from seeder.site.reader import pointed_number, read_unbelieved
from seeder.site.writer import writing
from swarmboot import errors
from swarmboot.codec import pack, unpack
from swarmboot.release import key_files, layout, trust
from swarmboot.release.manifest import MANIFEST_MAX_BYTES
from tests.support.builders import build_bytes, build_release
from tests.support.commands import Done, run


class Scene:
    """A site published on two channels with the first of three key pairs."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        pairs = [key_files.write_pair(folder / name) for name in ("one", "two", "three")]
        self.keys, self.publics = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        self.release = build_release(folder / "release")
        for channel in ("stable", "edge"):
            assert self.publish(0, "--channel", channel).status == 0

    def publish(self, key: int, *options: object) -> Done:
        return run("publish", "--force", self.release, "--site", self.site, "--key", self.keys[key], *options)

    def rotate(self, old: Path, new: Path, *keys: int) -> Done:
        words = [word for key in keys for word in ("--key", self.keys[key])]
        return run("rotate", self.site, "--trust", old, "--new-trust", new, *words)

    def verify(self, public: Path) -> Done:
        return run("verify", self.site, "--trust", public)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_after_a_rotation_nodes_built_with_either_key_believe_the_site(scene: Scene) -> None:
    one, two, _ = scene.publics
    done = scene.rotate(one, two, 0, 1)
    assert done.status == 0, done.err
    assert done.out.splitlines() == [
        "the keys are now version 2",
        "channel edge: manifest 3",
        "channel stable: manifest 4",
    ]
    assert scene.verify(one).status == scene.verify(two).status == 0
    refused = scene.publish(0)
    assert refused.status == errors.ThresholdError.exit_status
    assert scene.publish(1, "--json").value["is_new"] is False


def test_rotations_are_followed_one_after_the_other_by_nodes_of_every_age(scene: Scene) -> None:
    one, two, three = scene.publics
    assert scene.rotate(one, two, 0, 1).status == 0
    assert scene.rotate(one, three, 1, 2).status == 0
    assert [scene.verify(public).status for public in (one, two, three)] == [0, 0, 0]
    (scene.release / "plugins").mkdir()
    (scene.release / "plugins" / "10-a.squashfs").write_bytes(b"hsqs")
    assert scene.publish(2).status == 0
    assert [scene.verify(public).status for public in (one, two, three)] == [0, 0, 0]


def test_a_rotation_to_two_keys_needs_both_from_then_on(scene: Scene, tmp_path: Path) -> None:
    one, two, three = scene.publics
    both = tmp_path / "both.pub"
    both.write_text(f"threshold 2\n{two.read_text()}{three.read_text()}")
    assert scene.rotate(one, both, 0, 1).status == errors.ThresholdError.exit_status
    assert scene.rotate(one, both, 0, 1, 2).status == 0
    assert scene.publish(1).status == errors.ThresholdError.exit_status
    assert scene.publish(1, "--key", scene.keys[2]).status == 0
    assert scene.verify(one).status == 0


@pytest.mark.parametrize("keys", [(0,), (1,), (0, 2)])
def test_too_few_keys_change_nothing(scene: Scene, keys: tuple[int, ...]) -> None:
    before = {path: path.read_bytes() for path in scene.site.rglob("*.swarm")}
    assert scene.rotate(scene.publics[0], scene.publics[1], *keys).status == errors.ThresholdError.exit_status
    assert {path: path.read_bytes() for path in scene.site.rglob("*.swarm")} == before


def test_a_rotation_that_was_interrupted_is_completed(scene: Scene) -> None:
    one, two, _ = scene.publics
    old_channel = (scene.site / "channels" / "stable.swarm").read_bytes()
    scene.rotate(one, two, 0, 1)
    (scene.site / "channels" / "stable.swarm").write_bytes(old_channel)
    done = scene.rotate(one, two, 1)
    assert done.out.splitlines() == ["the keys were already version 2", "channel stable: manifest 5"]
    assert scene.verify(two).status == 0


def test_what_the_old_keys_did_not_sign_is_not_signed_anew(scene: Scene) -> None:
    data = bytearray((scene.site / "manifests" / "1.swarm").read_bytes())
    data[200] ^= 1
    (scene.site / "manifests" / "1.swarm").write_bytes(data)
    done = scene.rotate(scene.publics[0], scene.publics[1], 0, 1)
    assert done.status == errors.SignatureError.exit_status
    assert not list((scene.site / "keys").iterdir())


def test_new_keys_without_a_rotation_start_afresh(scene: Scene) -> None:
    one, two, three = scene.publics
    scene.rotate(one, two, 0, 1)
    assert scene.publish(2).status == errors.ThresholdError.exit_status
    assert scene.publish(2, "--new-keys").status == 0
    assert run("verify", scene.site, "--trust", three, "--channel", "stable").status == 0
    assert run("verify", scene.site, "--trust", two, "--channel", "edge").status == 0


def test_pruning_keeps_what_channels_point_to_and_the_newest(scene: Scene) -> None:
    for seed in (1, 2, 3):
        (scene.release / "rootfs.squashfs").write_bytes(b"hsqs" + build_bytes(50_000, seed=seed))
        assert scene.publish(0).status == 0
    done = run("prune", scene.site, "--keep", 2, "--grace", "0", "--json")
    assert done.value["kept"] == [2, 4, 5]
    assert done.value["dropped"] == [1, 3]
    assert done.value["freed_bytes"] > 50_000
    assert len(list((scene.site / "blobs").iterdir())) == len(list((scene.site / "torrents").iterdir())) == 3
    assert scene.verify(scene.publics[0]).status == 0
    assert run("prune", scene.site, "--keep", 2, "--grace", "0", "--json").value["files"] == 0


def test_pruning_spares_what_a_channel_has_just_left(scene: Scene) -> None:
    before = {path.name for path in (scene.site / "blobs").iterdir()}
    for seed in (1, 2):
        (scene.release / "rootfs.squashfs").write_bytes(b"hsqs" + build_bytes(50_000, seed=seed))
        assert scene.publish(0).status == 0
    long_ago_s = time.time() - 7200.0
    os.utime(scene.site / "manifests" / "3.swarm", (long_ago_s, long_ago_s))
    done = run("prune", scene.site, "--keep", 1, "--json")
    assert (done.value["kept"], done.value["spared"], done.value["dropped"]) == ([1, 2, 4], [1], [3])
    assert before <= {path.name for path in (scene.site / "blobs").iterdir()}
    assert "kept for nodes that may be booting them (--grace): 1" in run("prune", scene.site, "--keep", 1).out
    assert run("prune", scene.site, "--keep", 1, "--grace", "0", "--json").value["dropped"] == [1]


def test_a_manifest_says_when_a_channel_left_it(scene: Scene) -> None:
    first = scene.site / "manifests" / "1.swarm"
    os.utime(first, (1000.0, 1000.0))
    (scene.release / "rootfs.squashfs").write_bytes(b"hsqs" + build_bytes(50_000, seed=1))
    assert scene.publish(0).status == 0
    assert time.time() - first.stat().st_mtime < 600.0


def test_pruning_drops_blobs_that_nothing_needs_and_says_so(scene: Scene) -> None:
    (scene.site / "blobs" / "stray").write_bytes(bytes(1000))
    done = run("prune", scene.site)
    assert done.out.splitlines() == ["manifests dropped: none; kept: 1, 2", "1 files dropped, 1000 B freed"]


def test_pruning_drops_nothing_if_a_manifest_that_stays_cannot_be_read(scene: Scene) -> None:
    (scene.site / "manifests" / "2.swarm").write_bytes(b"x")
    (scene.site / "blobs" / "stray").write_bytes(bytes(1000))
    assert run("prune", scene.site, "--keep", 1).status == errors.ManifestError.exit_status
    assert (scene.site / "blobs" / "stray").exists()


def test_a_folder_that_is_no_site_is_neither_pruned_nor_rotated(scene: Scene, tmp_path: Path) -> None:
    shutil.rmtree(scene.site)
    assert run("prune", tmp_path).status == errors.SiteError.exit_status
    assert scene.rotate(scene.publics[0], scene.publics[1], 0, 1).status == errors.SiteError.exit_status
    assert not scene.site.exists()


def test_keygen_makes_a_pair_once(tmp_path: Path) -> None:
    done = run("keygen", "--out", tmp_path / "keys")
    assert done.status == 0
    assert str(tmp_path / "keys" / "swarmboot.key") in done.out
    assert str(tmp_path / "keys" / "swarmboot.pub") in done.out
    before = (tmp_path / "keys" / "swarmboot.key").read_bytes()
    again = run("keygen", "--out", tmp_path / "keys")
    assert again.status == errors.KeyFileError.exit_status
    assert (tmp_path / "keys" / "swarmboot.key").read_bytes() == before


@pytest.mark.parametrize("verb", ["keygen", "publish", "verify", "rotate", "prune"])
def test_help_ends_with_an_example(verb: str) -> None:
    done = run(verb, "--help")
    assert done.status == 0
    assert f"Example:\n    swarmboot {verb} " in done.out


def test_what_a_newer_version_has_published_is_neither_pruned_nor_signed_again_without_it(scene: Scene) -> None:
    number = pointed_number(scene.site, "edge")
    path, keys = scene.site / layout.manifest_path(number), [key_files.read_private(scene.keys[0])]
    value = unpack(trust.open_envelope(path.read_bytes(), trust.Kind.MANIFEST).payload, max_bytes=MANIFEST_MAX_BYTES)
    path.chmod(0o644)
    path.write_bytes(trust.sign(trust.Kind.MANIFEST, pack({**value, "future": {"image": bytes(32)}}), keys))
    with writing(scene.site) as writer:
        for channel in ("edge", "stable"):
            point(writer, read_unbelieved(scene.site, number), channel, keys, expires_unix_s=0)
    blob = scene.site / "blobs" / ("f" * 64)
    blob.write_bytes(b"what the newer version knows")
    before, (one, two, _) = sorted(scene.site.rglob("*")), scene.publics
    for done in (run("prune", scene.site, "--keep", 1, "--grace", "0s"), scene.rotate(one, two, 0, 1)):
        assert done.status == errors.ReleaseError.exit_status
        assert f"manifest {number} was published by a newer swarmboot" in done.line
        assert "found future" in done.line
    assert sorted(scene.site.rglob("*")) == before
    (scene.release / "plugins").mkdir()
    (scene.release / "plugins/10-a.squashfs").write_bytes(b"hsqs")
    assert scene.publish(0).status == 0, "another release is nobody's loss"
