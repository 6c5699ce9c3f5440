"""Handles on releases: a channel goes back, takes another's release, and nothing is signed that was not before."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from seeder.site.writer import writing
from swarmboot.errors import (
    BlobError,
    KeyFileError,
    ManifestError,
    ReleaseError,
    SignatureError,
    SiteError,
    ThresholdError,
    UnreadableError,
)
from swarmboot.release.layout import manifest_numbers
from tests.support.builders import build_bytes, build_release
from tests.support.commands import Done, run


class Site:
    """A site that releases are published to, and the keys that sign them."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.site = work / "site"
        self.keys: tuple[object, ...] = ("--key", self.make_key("keys"))

    def make_key(self, name: str) -> Path:
        assert run("keygen", "--out", self.work / name).status == 0
        return self.work / name / "swarmboot.key"

    def publish(self, name: str, *more: object, channel: str = "stable", root: bytes = b"") -> int:
        """Publish a release of this name and return its number."""
        folder = build_release(self.work / "releases" / f"{name}", files={"env/a.env": f"NAME={name}\n".encode()})
        (folder / "rootfs.squashfs").write_bytes(root or (name.encode() * 40000))
        done = run("publish", folder, "--site", self.site, "--channel", channel, "--force", "--json", *self.keys, *more)
        assert done.status == 0, done.err
        return int(done.value["sequence"])

    def __call__(self, verb: str, *arguments: object, status: int = 0) -> Done:
        signs = () if verb in ("releases", "pin", "prune") else self.keys
        done = run(verb, self.site, *arguments, *signs)
        assert done.status == status, done.err
        return done

    def on(self, channel: str = "stable") -> tuple[int, str]:
        """Return the number and name of what a channel points to, every signature checked."""
        done = run("verify", self.site, "--trust", self.work / "keys/swarmboot.pub", "--channel", channel, "--json")
        assert done.status == 0, done.err
        (found,) = done.value["channels"]
        return found["sequence"], found["name"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_rollback_is_the_release_before_under_the_next_number(site: Site) -> None:
    for name in ("one", "two", "three"):
        site.publish(name)
    blobs = sorted((site.site / "blobs").iterdir())
    said = site("rollback").out
    assert "channel stable has two as manifest 4, which is release 2" in said
    assert site.on() == (4, "two")
    assert sorted((site.site / "blobs").iterdir()) == blobs


def test_going_back_twice_goes_back_further(site: Site) -> None:
    for name in ("one", "two", "three"):
        site.publish(name)
    site("rollback")
    site("rollback")
    assert site.on() == (5, "one")
    assert "no release before 1" in site("rollback", status=ReleaseError.exit_status).line


def test_a_rollback_goes_to_the_release_that_is_named_and_doing_it_again_changes_nothing(site: Site) -> None:
    for name in ("one", "two", "three"):
        site.publish(name)
    site("rollback", "--to", 1)
    assert "nothing changed" in site("rollback", "--to", 1).out
    assert site.on() == (4, "one")
    assert "has no release 9: expected one of 1, 2, 3, 4" in site("rollback", "--to", 9, status=50).line


def test_a_rollback_lives_as_long_as_the_release_did_at_first(site: Site) -> None:
    site.publish("one", "--expires", "10d")
    site.publish("two", "--expires", "20d")
    site("rollback")
    listed = {each["sequence"]: each for each in site("releases", "--json").value["releases"]}
    assert listed[3]["expires_unix_s"] - listed[3]["issued_unix_s"] == 10 * 86400
    assert listed[3]["issued_unix_s"] >= listed[2]["issued_unix_s"]


def test_with_several_channels_a_rollback_wants_a_number(site: Site) -> None:
    site.publish("one")
    site.publish("two", channel="edge")
    assert "expected --to NUMBER" in site("rollback", "--channel", "edge", status=50).line
    site("rollback", "--channel", "edge", "--to", 1)
    assert (site.on("edge"), site.on("stable")) == ((3, "one"), (1, "one"))


def test_promoting_points_to_the_same_manifest(site: Site) -> None:
    site.publish("one")
    site.publish("two", channel="edge")
    assert "channel stable has two as manifest 2" in site("promote", "edge", "stable").out
    assert (site.on("edge"), site.on("stable")) == ((2, "two"), (2, "two"))
    assert "nothing changed" in site("promote", "edge", "stable").out


def test_what_has_a_lower_number_is_promoted_under_the_next_one(site: Site) -> None:
    site.publish("one", channel="edge")
    site.publish("two")
    site("promote", "edge", "stable")
    assert site.on("stable") == (3, "one")


def test_a_new_channel_can_be_promoted_to_and_none_from_one_that_is_not_there(site: Site) -> None:
    site.publish("one")
    site("promote", "stable", "canary")
    assert site.on("canary") == (1, "one")
    assert "did you mean stable?" in site("promote", "stabel", "canary", status=SiteError.exit_status).line.lower()


def altered(site: Site, number: int, by: int) -> None:
    """Put another release's manifest in the place of one."""
    shutil.copyfile(site.site / f"manifests/{by}.swarm", site.site / f"manifests/{number}.swarm")


@pytest.mark.parametrize("kind", ["foreign", "altered", "exchanged"])
def test_nothing_is_signed_that_these_keys_have_not_signed_before(site: Site, tmp_path: Path, kind: str) -> None:
    for name in ("one", "two"):
        site.publish(name)
    path = site.site / "manifests/1.swarm"
    if kind == "foreign":
        other = Site(tmp_path / "other")
        other.publish("evil")
        shutil.copyfile(other.site / "manifests/1.swarm", path)
    elif kind == "altered":
        data = path.read_bytes()
        path.write_bytes(data.replace(b"NAME", b"NAMF"))
    else:
        altered(site, 1, 2)
    before = manifest_numbers(site.site)
    statuses = {"foreign": ThresholdError, "altered": SignatureError, "exchanged": ReleaseError}
    done = run("rollback", site.site, "--to", 1, *site.keys)
    assert done.status in (statuses[kind].exit_status, 16), done.err
    assert manifest_numbers(site.site) == before
    assert site.on() == (2, "two")


def test_other_keys_than_the_sites_may_not_move_a_channel(site: Site) -> None:
    for name in ("one", "two"):
        site.publish(name)
    site.keys = ("--key", site.make_key("thief"))
    for verb in (("rollback",), ("promote", "stable", "canary")):
        site(*verb, status=ThresholdError.exit_status)
    assert site.on() == (2, "two")


def test_a_threshold_of_two_keys_is_asked_for_here_too(site: Site, tmp_path: Path) -> None:
    second = site.make_key("second")
    public = [(tmp_path / name / "swarmboot.pub").read_text() for name in ("keys", "second")]
    (tmp_path / "fleet.pub").write_text("threshold 2\n" + "".join(public))
    first, site.keys = site.keys, (*site.keys, "--key", second)
    trust = ("--trust", tmp_path / "fleet.pub")
    site.publish("one", *trust)
    site.publish("two", *trust)
    site.keys = first
    site("rollback", *trust, status=ThresholdError.exit_status)
    site("rollback", status=ThresholdError.exit_status)
    site.keys = (*first, "--key", second)
    site("rollback", *trust)
    assert run("verify", site.site, *trust).status == 0


def test_after_a_rotation_only_what_the_new_keys_have_signed_comes_back(site: Site, tmp_path: Path) -> None:
    site.publish("one")
    site.publish("two")
    new, public = site.make_key("new"), tmp_path / "new/swarmboot.pub"
    rotated = run(
        "rotate", site.site, "--trust", tmp_path / "keys/swarmboot.pub", "--new-trust", public, *site.keys, "--key", new
    )
    assert rotated.status == 0, rotated.err
    site.keys = ("--key", new)
    site("rollback", "--to", 1, status=ThresholdError.exit_status)
    site.publish("four")
    site("rollback", "--to", 3)
    assert site.on() == (5, "two")  # nodes that were built with the old keys follow


def test_a_release_whose_blobs_are_pruned_is_not_gone_back_to(site: Site) -> None:
    for name in ("one", "two"):
        site.publish(name)
    blob = min((site.site / "blobs").iterdir(), key=lambda path: path.stat().st_mtime)
    blob.unlink()
    assert "is not whole any more: rootfs.squashfs" in site("rollback", status=BlobError.exit_status).line
    assert site.on() == (2, "two")


def test_a_pointer_that_ends_does_not_silently_end_no_more(site: Site) -> None:
    site.publish("one")
    site.publish("two", "--pointer-expires", "1d")
    assert "--pointer-expires" in site("rollback", status=ReleaseError.exit_status).line
    site("rollback", "--pointer-expires", "1d")
    assert site.on() == (3, "one")


def test_without_a_key_nothing_is_moved_and_none_is_made(site: Site, tmp_path: Path, monkeypatch: Any) -> None:
    site.publish("one")
    site.keys = ()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    site("rollback", status=KeyFileError.exit_status)
    assert not (tmp_path / "config").exists()


def test_a_pinned_release_outlives_prune_and_can_be_gone_back_to(site: Site) -> None:
    for name in ("one", "two", "three", "four"):
        site.publish(name)
    assert "kept whatever prune drops: 1" in site("pin", 1).out
    site("prune", "--keep", 1, "--grace", 0)
    assert manifest_numbers(site.site) == [1, 4]
    site("rollback", "--to", 1)
    assert site.on() == (5, "one")
    site("pin", 1, "--remove")
    site("prune", "--keep", 1, "--grace", 0)
    assert manifest_numbers(site.site) == [5]
    assert "has no release 7" in site("pin", 7, status=ReleaseError.exit_status).line


def test_releases_are_listed_with_channels_sizes_and_pins(site: Site, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    site.publish("one")
    site.publish("two", channel="edge")
    site("pin", 1)
    (site.site / "manifests/3.swarm").write_bytes(b"x")
    header, broken, two, one = site("releases").out.splitlines()
    assert header.split() == ["NUMBER", "NAME", "CHANNELS", "SIZE", "NODES", "ISSUED", "UNTIL"]
    assert (two.split()[:3], one.split()[:3], one.split()[-1]) == (
        ["2", "two", "edge"],
        ["1", "one", "stable"],
        "pinned",
    )
    assert two.split()[5] == "?"  # no seeder to ask for nodes
    assert broken.startswith("3")
    values = site("releases", "--json").value["releases"]
    assert [(each["sequence"], each.get("nodes"), "fault" in each) for each in values] == [
        (3, None, True), (2, None, False), (1, None, False),
    ]  # fmt: skip


def test_a_difference_says_what_changes_and_what_it_costs_a_node(site: Site, tmp_path: Path) -> None:
    base = bytes(range(256)) * 4096  # 1 MiB: sixteen pieces
    site.publish("one", root=base)
    site.publish("two", root=base[: 15 * 65536] + bytes(65536 + 1000))
    done = run("release", "diff", site.site, 1, 2, "--json")
    assert done.status == 0, done.err
    (image,) = done.value["images"]
    assert (image["name"], image["cost_bytes"]) == ("rootfs.squashfs", 65536 + 1000)
    assert (done.value["cost_bytes"], done.value["stage0_bytes"]) == (65536 + 1000, 0)
    text = run("release", "diff", site.site, 1, "stable").out
    assert "setting NAME: one -> two" in text
    assert "a node that has all of 1 fetches 65.0 KiB for stable" in text
    assert run("release", "diff", site.site, 1, 1, "--json").value["cost_bytes"] == 0
    assert "has no release 9" in run("release", "diff", site.site, 1, 9).line
    assert run("release", "diff", site.site, 1, "stabel").status == SiteError.exit_status


def test_bytes_that_have_moved_cost_little_by_chunks_and_all_by_pieces(site: Site) -> None:
    base = b"hsqs" + build_bytes(3 << 20)
    site.publish("one", root=base)
    site.publish("two", root=base[:5000] + b"in between" + base[5000:])
    value = run("release", "diff", site.site, 1, 2, "--json").value
    assert value["cost_bytes"] > 3 << 20
    assert value["chunked_bytes"] < 1 << 19


def test_a_new_release_directory_says_what_goes_where_and_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    assert f"then: swarmboot publish {folder}" in run("release", "init", folder).out
    (folder / "rootfs.squashfs").write_bytes(b"hsqs" * 1000)
    done = run("publish", folder, "--site", tmp_path / "site", "--key", Site(tmp_path).keys[1], "--force")
    assert done.status == 0, done.err
    assert run("release", "init", folder).status == UnreadableError.exit_status


def tree_of(folder: Path) -> list[tuple[str, int]]:
    """Return every name below a folder with when it was last changed."""
    return sorted((str(path), path.lstat().st_mtime_ns) for path in (folder, *folder.rglob("*")))


def test_a_dry_run_says_what_publishing_does_and_writes_nothing(site: Site) -> None:
    site.publish("one")
    folder = build_release(site.work / "new", files={"plugins/a.squashfs": b"hsqs" * 9000})
    (folder / "rootfs.squashfs").write_bytes(b"one" * 40000)  # is in the site
    arguments = ("publish", folder, "--site", site.site, "--force", *site.keys)
    before = tree_of(site.site)
    text, dry = run(*arguments, "--dry-run").out, run(*arguments, "--dry-run", "--json").value
    assert tree_of(site.site) == before
    assert "would publish new as manifest 2 on channel stable" in text
    assert text.splitlines()[-1] == "nothing was written"
    real = run(*arguments, "--json").value
    for name in ("sequence", "is_new", "artifacts", "copied_bytes", "reused_bytes", "signers", "ram_bytes", "notes"):
        assert dry[name] == real[name], name
    assert (dry["copied_bytes"], dry["reused_bytes"]) == (36000, 120000)
    assert "nothing changed" in run(*arguments, "--dry-run").out


def test_a_dry_run_makes_neither_site_nor_key_and_refuses_what_publishing_would(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(site.work / "config"))
    folder = build_release(site.work / "release")
    done = run("publish", folder, "--site", site.work / "new-site", "--force", "--dry-run")
    assert (done.status, "as manifest 1" in done.out) == (0, True), done.err
    assert not (site.work / "new-site").exists()
    assert not (site.work / "config").exists()
    site.publish("one")
    thief = site.make_key("thief")
    done = run("publish", folder, "--site", site.site, "--force", "--dry-run", "--key", thief)
    assert done.status == ThresholdError.exit_status


def test_a_dry_run_without_a_key_names_none_that_signs(site: Site, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nobody"))
    folder = build_release(tmp_path / "first")
    arguments = ("publish", folder, "--site", tmp_path / "new", "--force", "--dry-run")
    assert "signed by a signing key of yours, which is made then" in run(*arguments).out
    assert run(*arguments, "--json").value["signers"] == []


def test_a_release_in_place_of_its_site_is_told_from_one(tmp_path: Path) -> None:
    done = run("releases", build_release(tmp_path / "release"))
    assert done.status == SiteError.exit_status
    assert "found a release's directory; name the folder that it was published to" in done.err


def test_a_damaged_manifest_is_named_and_so_is_a_channel_that_cannot_be_read(site: Site) -> None:
    site.publish("one")
    site.publish("two", channel="edge")
    (site.site / "manifests/2.swarm").write_bytes(b"x")
    (site.site / "channels/edge.swarm").write_bytes(b"x")
    done = run("release", "diff", site.site, "1", "2")
    assert done.status == ManifestError.exit_status
    assert f"{site.site}/manifests/2.swarm is damaged" in done.err
    assert done.err.rstrip().endswith("publish the release again")
    listed = run("releases", site.site)
    assert f"? channel edge: {site.site}/channels/edge.swarm is damaged" in listed.out
    assert list(run("releases", site.site, "--json").value["channel_faults"]) == ["edge"]


@pytest.mark.parametrize("verb", [("rollback",), ("promote", "stable", "edge")])
def test_other_keys_are_not_told_of_an_option_that_the_verb_has_not(site: Site, verb: tuple[str, ...]) -> None:
    site.publish("one")
    site.keys = ("--key", site.make_key("others"))
    done = site(*verb, status=ThresholdError.exit_status)
    assert done.err.rstrip().endswith("give those keys with --key")


def test_a_site_that_may_not_be_written_is_said_to_be_another_users(site: Site, monkeypatch: Any) -> None:
    site.publish("one")

    def forbidden(path: str, *_more: object, **_named: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr("seeder.site.writer.os.open", forbidden)
    with (
        pytest.raises(SiteError, match=r"cannot be written: Permission denied; run it as the user who"),
        writing(site.site),
    ):
        pass


def test_the_command_that_comes_next_can_be_pasted_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "my release"
    last = run("release", "init", folder).out.splitlines()[-1]
    assert shlex.split(last.partition("then: ")[2]) == ["swarmboot", "publish", str(folder)]
    refused = run("releases", tmp_path / "my site").err
    assert shlex.split(refused.partition("publish first: ")[2])[-1] == str(tmp_path / "my site")
