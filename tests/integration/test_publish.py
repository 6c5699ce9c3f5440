"""`swarmboot publish`: a release becomes a site, again changes nothing, and every refusal leaves the site as it was."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seeder.progress import NoProgress
from seeder.publish import PublishOptions, publish
from seeder.release import read_release
from seeder.site_writer import writing
from swarmboot import errors, keyfile, manifest, site, trust
from swarmboot.errors import SwarmbootError
from swarmboot.ids import Sequence
from swarmboot.manifest import Manifest
from tests.builders import build_bytes, build_release
from tests.commands import Done, run, run_program


@dataclass(frozen=True, slots=True)
class Place:
    """A release, the site it goes to and the key it is signed with."""

    release: Path
    site: Path
    key: Path
    public: Path

    @property
    def words(self) -> list[str]:
        paths = (str(path) for path in (self.release, "--site", self.site, "--key", self.key))
        return [sys.executable, "-m", "swarmboot", "publish", *paths]

    def publish(self, *options: object) -> Done:
        return run("publish", self.release, "--site", self.site, "--key", self.key, *options)

    def verify(self, *options: object) -> Done:
        return run("verify", self.site, "--trust", self.public, *options)

    def manifest(self, number: int) -> Manifest:
        data = (self.site / site.manifest_path(Sequence(number))).read_bytes()
        return manifest.decode(trust.verify(data, trust.Kind.MANIFEST, keyfile.read_trust([self.public])))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    private, public = keyfile.write_pair(tmp_path / "keys")
    release = build_release(tmp_path / "release", plugins=["10-a.squashfs"])
    return Place(release, tmp_path / "site", private, public)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def published(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_of(folder).items() if name != ".lock"}


def test_a_release_becomes_a_site_that_verifies(place: Place) -> None:
    done = place.publish()
    assert done.status == 0
    found = place.manifest(1)
    assert [artifact.name for artifact in found.artifacts] == ["rootfs.squashfs", "10-a.squashfs"]
    for artifact in found.artifacts:
        blob = (place.site / site.blob_path(artifact.sha256)).read_bytes()
        assert hashlib.sha256(blob).digest() == artifact.sha256
        assert len(blob) == artifact.size_bytes
        assert (place.site / site.torrent_path(artifact.info_hash)).is_file()
        assert artifact.info_hash.hex()[:16] in done.out
    assert "published release as manifest 1 on channel stable" in done.out
    assert "a node needs 64.1 MiB of RAM" in done.out
    assert place.verify().status == 0


def test_the_program_itself_publishes_and_verifies_with_nothing_else_given(tmp_path: Path) -> None:
    release = build_release(tmp_path / "release")
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    environment.pop("SWARMBOOT_KEY", None)
    first = run_program("publish", release, env=environment)
    assert first.status == 0, first.err
    private, public = (tmp_path / "config" / "swarmboot" / name for name in ("swarmboot.key", "swarmboot.pub"))
    assert f"made a signing key, {private}" in first.out
    assert str(public) in first.out
    again = run_program("publish", release, env=environment)
    assert "nothing changed" in again.out
    assert "made a signing key" not in again.out
    verified = run_program("verify", tmp_path / "site", "--trust", public)
    assert verified.status == 0, verified.err


def test_the_keys_may_be_named_by_the_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMBOOT_KEY", str(place.key))
    assert run("publish", place.release, "--site", place.site).status == 0
    assert place.verify().status == 0


def test_no_key_is_made_for_a_site_that_has_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.publish().status == 0
    monkeypatch.delenv("SWARMBOOT_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.site.parent / "config"))
    done = run("publish", place.release, "--site", place.site)
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
    (place.site / site.blob_path(root.sha256)).unlink()
    (place.site / site.torrent_path(root.info_hash)).write_bytes(b"garbage")
    assert place.verify().status == errors.BlobError.exit_status
    assert place.publish("--json").value["is_new"] is False
    assert place.verify().status == 0


def test_a_manifest_with_less_than_a_third_of_its_life_left_is_issued_anew(place: Place) -> None:
    def publish_at(now_unix_s: int) -> tuple[int, int]:
        with writing(place.site) as writer:
            found = publish(
                read_release(place.release),
                [keyfile.read_private(place.key)],
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
    run("publish", place.release, "--site", tmp_path / "other", "--key", place.key)
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
    second, public = keyfile.write_pair(tmp_path / "second")
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
    private, public = keyfile.write_pair(tmp_path / "other")
    arguments = ("publish", place.release, "--site", place.site, "--key", private)
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
    path = place.site / site.channel_path("stable")
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    assert place.verify().status != 0
    assert place.publish("--json").value["sequence"] == 2
    assert place.verify().status == 0


def break_nothing_but(label: str, data: bytes | None) -> Callable[[Path], None]:
    def change(release: Path) -> None:
        (release / label).parent.mkdir(exist_ok=True)
        (release / label).unlink(missing_ok=True)
        if data is not None:
            (release / label).write_bytes(data)

    return change


def link_outside(release: Path) -> None:
    (release / "plugins" / "link.squashfs").symlink_to("/etc/passwd")


REFUSALS: list[tuple[str, Callable[[Path], None], type[SwarmbootError]]] = [
    ("no root image", break_nothing_but("rootfs.squashfs", None), errors.NoRootImageError),
    ("two root images", break_nothing_but("rootfs.tar.gz", b"x"), errors.NoRootImageError),
    ("empty", break_nothing_but("plugins/20-b.squashfs", b""), errors.UnreadableError),
    ("link out", link_outside, errors.EscapeError),
    ("bad setting", break_nothing_but("env/a.env", b"export A=1\n"), errors.ReleaseError),
    ("unknown key", break_nothing_but("release.toml", b"colour = 1\n"), errors.ReleaseError),
    ("same bytes twice", break_nothing_but("plugins/20-b.squashfs", b"hsqs"), errors.ReleaseError),
    (
        "too many settings",
        break_nothing_but("env/a.env", b"".join(b"A%d=1\n" % n for n in range(1025))),
        errors.ReleaseError,
    ),
]


@pytest.mark.parametrize("is_first", [True, False], ids=["first publish", "after another"])
@pytest.mark.parametrize(("change", "kind"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_an_unfit_release_is_refused_on_one_line_and_the_site_stays_as_it_was(
    place: Place, change: Callable[[Path], None], kind: type[SwarmbootError], is_first: bool
) -> None:
    (place.release / "plugins" / "30-c.squashfs").write_bytes(b"hsqs")
    if not is_first:
        assert place.publish().status == 0
    before = published(place.site)
    change(place.release)
    done = place.publish()
    assert done.status == kind.exit_status
    assert done.line.startswith("swarmboot: ")
    assert len([line for line in done.err.splitlines() if line.startswith("swarmboot: ")]) == 1
    served = {name: data for name, data in published(place.site).items() if name.startswith(("manifests", "channels"))}
    assert served == {name: data for name, data in before.items() if name.startswith(("manifests", "channels"))}
    assert list((place.site / ".incoming").glob("*")) == []
    assert is_first or place.verify().status == 0


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (("--expires", "soon"), errors.MalformedSettingError),
        (("--expires", "0s"), errors.MalformedSettingError),
        (("--piece", "100KiB"), errors.MalformedSettingError),
        (("--piece", "8KiB"), errors.MalformedSettingError),
        (("--piece", "big"), errors.MalformedSettingError),
        (("--channel", "../x"), errors.MalformedSettingError),
        (("--expires", "36501d"), errors.MalformedSettingError),
        (("--fleet", "x" * 300), errors.ReleaseError),
        (("--key", "/none"), errors.KeyFileError),
        (("--trust", "/none"), errors.KeyFileError),
    ],
)
def test_a_bad_argument_is_refused_before_anything_is_signed(
    place: Place, options: tuple[str, ...], kind: type[SwarmbootError]
) -> None:
    done = place.publish(*options)
    assert done.status == kind.exit_status, done.err
    assert not list(place.site.glob("manifests/*"))
    assert not list(place.site.glob("channels/*"))


def test_a_site_within_the_release_is_refused(place: Place) -> None:
    done = run("publish", place.release, "--site", place.release / "site", "--key", place.key)
    assert done.status == errors.SiteError.exit_status
    assert not (place.release / "site").exists()


def test_a_key_within_the_site_is_refused(place: Place) -> None:
    private, _ = keyfile.write_pair(place.site / "keys-of-mine")
    done = run("publish", place.release, "--site", place.site, "--key", private)
    assert done.status == errors.KeyFileError.exit_status
    assert "lies in the site, which is public" in done.line


def test_a_site_that_cannot_be_made_is_refused(place: Place) -> None:
    place.site.write_text("a file")
    assert place.publish().status == errors.SiteError.exit_status
    assert place.site.read_text() == "a file"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that a user without rights can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_file_that_may_not_be_read_is_refused_by_name(open_folder: Path) -> None:
    release = build_release(open_folder / "release")
    (release / "rootfs.squashfs").chmod(0)
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(65534)
    try:
        done = run("publish", release, "--site", open_folder / "site")
    finally:
        os.seteuid(uid)
    assert done.status == errors.UnreadableError.exit_status
    assert "rootfs.squashfs cannot be read: Permission denied" in done.line


def test_two_publishes_at_once_are_one_and_a_refusal(place: Place) -> None:
    with writing(place.site):
        done = run_program("publish", place.release, "--site", place.site, "--key", place.key)
    assert done.status == errors.SiteBusyError.exit_status
    assert f"found process {os.getpid()}" in done.line
    assert place.publish().status == 0


def test_publishes_started_together_leave_a_right_site(place: Place) -> None:
    started = [subprocess.Popen(place.words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(3)]
    statuses = sorted(process.wait(timeout=120) for process in started)
    assert statuses[0] == 0
    assert set(statuses) <= {0, errors.SiteBusyError.exit_status}
    assert place.verify("--json").value["channels"][0]["sequence"] == 1


def test_a_file_that_grows_while_it_is_read_is_refused(place: Place) -> None:
    place.publish()
    root = place.release / "rootfs.squashfs"
    os.truncate(root, 256 << 20)
    with subprocess.Popen(place.words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not any((place.site / ".incoming").iterdir()):
            time.sleep(0.001)
        with root.open("ab") as file:
            file.write(b"more")
        _, err = process.communicate(timeout=120)
    assert process.returncode == errors.ChangedError.exit_status, err
    assert "rootfs.squashfs changed while it was being read" in err
    assert list((place.site / ".incoming").iterdir()) == []
    assert place.verify("--json").value["channels"][0]["sequence"] == 1
