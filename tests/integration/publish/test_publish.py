"""`swarmboot publish`: a release becomes a site, and the same release again changes nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from seeder.publish.publish import PublishOptions, publish
from seeder.publish.release_dir import read_release
from seeder.site.progress import NoProgress
from seeder.site.writer import writing
from swarmboot import errors
from swarmboot.release import key_files, layout
from tests.support.builders import build_bytes, build_release
from tests.support.commands import run, run_program
from tests.support.releases.publishing import Place, build_place, published


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return build_place(tmp_path)


def test_a_release_becomes_a_site_that_verifies(place: Place) -> None:
    done = place.publish()
    assert done.status == 0
    found = place.manifest(1)
    assert [artifact.name for artifact in found.artifacts] == ["rootfs.squashfs", "10-a.squashfs"]
    for artifact in found.artifacts:
        blob = (place.site / layout.blob_path(artifact.sha256)).read_bytes()
        assert hashlib.sha256(blob).digest() == artifact.sha256
        assert len(blob) == artifact.size_bytes
        assert (place.site / layout.torrent_path(artifact.info_hash)).is_file()
        assert artifact.info_hash.hex()[:16] in done.out
    assert "published release as manifest 1 on channel stable" in done.out
    assert "a node needs 64.1 MiB of RAM" in done.out
    assert place.verify().status == 0


def test_the_program_itself_publishes_and_verifies_with_nothing_else_given(tmp_path: Path) -> None:
    release = build_release(tmp_path / "release")
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    environment.pop("SWARMBOOT_KEY", None)
    first = run_program("publish", "--force", release, env=environment)
    assert first.status == 0, first.err
    private, public = (tmp_path / "config" / "swarmboot" / name for name in ("swarmboot.key", "swarmboot.pub"))
    assert f"made a signing key, {private}" in first.out
    assert str(public) in first.out
    again = run_program("publish", "--force", release, env=environment)
    assert "nothing changed" in again.out
    assert "made a signing key" not in again.out
    verified = run_program("verify", tmp_path / "site", "--trust", public)
    assert verified.status == 0, verified.err


def test_the_keys_may_be_named_by_the_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMBOOT_KEY", str(place.key))
    assert run("publish", "--force", place.release, "--site", place.site).status == 0
    assert place.verify().status == 0


def test_no_key_is_made_for_a_site_that_has_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.publish().status == 0
    monkeypatch.delenv("SWARMBOOT_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.site.parent / "config"))
    done = run("publish", "--force", place.release, "--site", place.site)
    assert done.status == errors.KeyFileError.exit_status
    assert not (place.site.parent / "config").exists()


def test_publishing_the_same_release_again_changes_nothing(place: Place) -> None:
    place.publish()
    before = published(place.site)
    done = place.publish()
    assert done.status == 0
    assert "nothing changed" in done.out
    assert published(place.site) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda release: (release / "rootfs.squashfs").write_bytes(b"hsqs" + build_bytes(99_996, seed=5)),
        lambda release: (release / "plugins" / "20-b.squashfs").write_bytes(b"hsqs b"),
        lambda release: (release / "plugins" / "10-a.squashfs").unlink(),
        lambda release: (release / "release.toml").write_text('cmdline = "quiet"'),
        lambda release: build_release(release, files={"env/a.env": b"A=1"}),
    ],
    ids=["root image", "plugin added", "plugin gone", "cmdline", "setting"],
)
def test_a_change_of_any_part_is_a_new_manifest_and_keeps_the_old(
    place: Place, change: Callable[[Path], object]
) -> None:
    place.publish()
    before = published(place.site)
    change(place.release)
    assert place.publish("--json").value["sequence"] == 2
    after = published(place.site)
    assert {name for name in before if after.get(name) != before[name]} == {"channels/stable.swarm"}
    assert place.verify().status == 0


def test_only_what_is_not_there_is_copied(place: Place) -> None:
    assert (place.publish("--json").value["copied_bytes"], place.publish("--json").value["copied_bytes"]) == (
        103_004,
        0,
    )
    (place.release / "plugins" / "20-b.squashfs").write_bytes(b"hsqs" + build_bytes(500))
    value = place.publish("--json").value
    assert (value["copied_bytes"], value["reused_bytes"]) == (504, 103_004)


def test_another_file_of_the_same_size_is_copied(place: Place) -> None:
    place.publish()
    build_release(place.release, seed=9)
    assert place.publish("--json").value["copied_bytes"] == 100_000
    assert place.verify().status == 0


def test_a_blob_that_was_lost_is_brought_back(place: Place) -> None:
    place.publish()
    root = place.manifest(1).root
    (place.site / layout.blob_path(root.sha256)).unlink()
    (place.site / layout.torrent_path(root.info_hash)).write_bytes(b"garbage")
    assert place.verify().status == errors.BlobError.exit_status
    assert place.publish("--json").value["is_new"] is False
    assert place.verify().status == 0


def test_a_manifest_with_less_than_a_third_of_its_life_left_is_issued_anew(place: Place) -> None:
    def publish_at(now_unix_s: int) -> tuple[int, int]:
        with writing(place.site) as writer:
            found = publish(
                read_release(place.release),
                [key_files.read_private(place.key)],
                writer=writer,
                options=PublishOptions(life_s=900),
                now_unix_s=now_unix_s,
                progress=NoProgress(),
            ).manifest
        return found.sequence, found.expires_unix_s

    assert publish_at(1000) == (1, 1900)
    assert publish_at(1600) == (1, 1900)
    assert publish_at(1601) == (2, 2501)


def test_another_life_is_issued_anew_and_then_kept(place: Place) -> None:
    place.publish()
    for options in (("--expires", "2d"), ("--expires", "2d"), ()):
        value = place.publish(*options, "--json").value
        assert (value["sequence"], value["expires_unix_s"] - value["issued_unix_s"]) == (2, 2 * 86400)


def test_channels_share_blobs_and_numbers(place: Place) -> None:
    assert place.publish("--json").value["sequence"] == 1
    value = place.publish("--channel", "edge", "--json").value
    assert (value["sequence"], value["channel"], value["copied_bytes"]) == (2, "edge", 0)
    assert place.publish("--json").value["is_new"] is False
    verified = place.verify("--json").value
    assert [(found["channel"], found["sequence"]) for found in verified["channels"]] == [("edge", 2), ("stable", 1)]


def test_the_fleet_is_kept_until_another_is_named(place: Place) -> None:
    assert place.publish("--fleet", "lab", "--json").value["fleet"] == "lab"
    assert place.publish("--json").value["fleet"] == "lab"
    value = place.publish("--fleet", "prod", "--json").value
    assert (value["fleet"], value["sequence"]) == ("prod", 2)


def test_equal_releases_make_equal_torrents_wherever_they_are_published(place: Place, tmp_path: Path) -> None:
    place.publish()
    run("publish", "--force", place.release, "--site", tmp_path / "other", "--key", place.key)
    torrents = [path for path in published(place.site) if path.startswith(("torrents/", "blobs/"))]
    assert torrents == [path for path in published(tmp_path / "other") if path.startswith(("torrents/", "blobs/"))]
    assert all((tmp_path / "other" / path).read_bytes() == (place.site / path).read_bytes() for path in torrents)


def test_the_piece_length_can_be_chosen(place: Place) -> None:
    value = place.publish("--piece", "32KiB", "--json").value
    assert [artifact["pieces"] for artifact in value["artifacts"]] == [4, 1]
    assert place.verify().status == 0


def test_profiles_that_differ_are_told_apart_in_ram(place: Place) -> None:
    (place.release / "release.toml").write_text('[[profiles]]\nname = "bare"\nplugins = []\n')
    ram_bytes = place.publish("--json").value["ram_bytes"]
    assert ram_bytes == {"": 103_004 + (64 << 20), "bare": 100_000 + (64 << 20)}
    assert "a node of profile bare needs" in place.publish().out


def test_whoever_serves_the_site_can_read_all_of_it(place: Place) -> None:
    before = os.umask(0o077)
    try:
        place.publish()
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in place.site.rglob("*") if not path.name.startswith(".")}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o644}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o755}


def test_signed_by_two_keys_it_satisfies_a_threshold_of_two(place: Place, tmp_path: Path) -> None:
    second, public = key_files.write_pair(tmp_path / "second")
    fleet = tmp_path / "fleet.pub"
    fleet.write_text(place.public.read_text() + public.read_text() + "threshold 2\n")
    too_few = place.publish("--trust", fleet)
    assert too_few.status == errors.ThresholdError.exit_status
    assert not place.site.exists() or not published(place.site)
    assert place.publish("--key", second, "--trust", fleet).status == 0
    assert run("verify", place.site, "--trust", fleet).status == 0


def test_another_key_than_before_is_refused_until_it_is_meant(place: Place, tmp_path: Path) -> None:
    place.publish()
    before = published(place.site)
    private, public = key_files.write_pair(tmp_path / "other")
    arguments = ("publish", "--force", place.release, "--site", place.site, "--key", private)
    refused = run(*arguments)
    assert refused.status == errors.ThresholdError.exit_status
    assert "--new-keys" in refused.line
    assert published(place.site) == before
    meant = run(*arguments, "--new-keys")
    assert meant.status == 0
    assert "note: signed by other keys than the manifest before" in meant.out
    assert place.verify().status == errors.ThresholdError.exit_status
    assert run("verify", place.site, "--trust", public).status == 0


def test_a_channel_that_was_tampered_with_is_issued_anew(place: Place) -> None:
    place.publish()
    path = place.site / layout.channel_path("stable")
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    assert place.verify().status != 0
    assert place.publish("--json").value["sequence"] == 2
    assert place.verify().status == 0
