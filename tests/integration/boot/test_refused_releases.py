"""What a node refuses to boot: another fleet's, altered, expired or older, each on one line with its own status."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from swarmboot.codec import pack, unpack
from swarmboot.errors import (
    ArtifactError,
    ExpiredError,
    KeyFileError,
    ManifestError,
    OriginError,
    ProtocolError,
    RollbackError,
    SignatureError,
    ThresholdError,
)
from swarmboot.ids import Sequence
from swarmboot.release import layout, trust
from swarmboot.release import manifest as manifests
from swarmboot.release.key_files import read_private
from tests.support.loopback import (
    Fleet,
    asking,
    booting,
    program,
    serving,
)
from tests.support.refusals import refused


@pytest.fixture
def broken(tmp_path: Path, fleet: Fleet) -> Fleet:
    """A copy of the fleet's site to break."""
    shutil.copytree(fleet.folder, tmp_path / "broken")
    return Fleet(tmp_path / "broken")


def sign_site(fleet: Fleet, *, expires_unix_s: int | None = None, crit: str = "") -> None:
    """Sign the site's manifest again with the fleet's own key, altered."""
    key = read_private(fleet.key)
    path = fleet.site / layout.manifest_path(Sequence(1))
    payload = trust.open_envelope(path.read_bytes(), trust.Kind.MANIFEST).payload
    if expires_unix_s is not None:
        payload = manifests.encode(replace(manifests.decode(payload), expires_unix_s=expires_unix_s))
    if crit:
        payload = pack({**unpack(payload, max_bytes=1 << 20), "crit": [crit], crit: 1})
    data = trust.sign(trust.Kind.MANIFEST, payload, [key])
    path.write_bytes(data)
    channel = fleet.site / layout.channel_path("stable")
    pointer = trust.encode_channel(trust.Channel("swarmboot", "stable", Sequence(1), hashlib.sha256(data).digest()))
    channel.write_bytes(trust.encode_channel_file(trust.sign(trust.Kind.CHANNEL, pointer, [key]), []))


def test_a_node_with_another_fleets_key_refuses(tmp_path: Path, fleet: Fleet) -> None:
    assert program("swarmboot", "keygen", "--out", tmp_path / "other").returncode == 0
    with serving(fleet) as seeder:
        arguments: list[str | Path] = [
            "--server",
            seeder.address,
            "--ca",
            seeder.ca,
            "--trust",
            tmp_path / "other" / "swarmboot.pub",
        ]
        refused(tmp_path, ThresholdError, *arguments, words=("not signed by enough trusted keys", "found 0"))


def test_a_node_that_demands_two_signatures_refuses_one(tmp_path: Path, fleet: Fleet) -> None:
    assert program("swarmboot", "keygen", "--out", tmp_path / "other").returncode == 0
    both = tmp_path / "both.pub"
    both.write_text("threshold 2\n" + fleet.pub.read_text() + (tmp_path / "other" / "swarmboot.pub").read_text())
    with serving(fleet) as seeder:
        arguments: list[str | Path] = ["--server", seeder.address, "--ca", seeder.ca, "--trust", both]
        refused(tmp_path, ThresholdError, *arguments, words=("expected 2 of", "found 1"))


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "no.pub"
    refused(tmp_path, KeyFileError, "--server", "https://127.0.0.1:1", "--trust", missing, words=(str(missing),))


def test_a_private_key_given_as_public_is_not_shown(tmp_path: Path, fleet: Fleet) -> None:
    refused(tmp_path, KeyFileError, "--server", "https://127.0.0.1:1", "--trust", fleet.key, words=("a private key",))


def test_an_altered_manifest_is_refused(tmp_path: Path, broken: Fleet) -> None:
    path = broken.site / layout.manifest_path(Sequence(1))
    data = bytearray(path.read_bytes())
    data[data.index(b"rootfs")] ^= 1
    path.write_bytes(bytes(data))
    with serving(broken) as seeder:
        refused(tmp_path, SignatureError, *asking(seeder, broken), words=("not over these bytes",))


def test_a_manifest_that_needs_a_newer_version_is_refused(tmp_path: Path, broken: Fleet) -> None:
    sign_site(broken, crit="teleport")
    with serving(broken) as seeder:
        refused(tmp_path, ManifestError, *asking(seeder, broken), words=("teleport",))


def test_an_expired_manifest_is_refused(tmp_path: Path, broken: Fleet) -> None:
    sign_site(broken, expires_unix_s=1_760_000_000)
    with serving(broken) as seeder:
        refused(tmp_path, ExpiredError, *asking(seeder, broken), words=("hours ago", "publish"))


def test_a_manifest_below_the_floor_is_refused(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        refused(
            tmp_path, RollbackError, *asking(seeder, fleet), "--floor", "2", words=("sequence 2 or later", "found 1")
        )


def test_a_manifest_larger_than_its_bound_is_not_read(tmp_path: Path, broken: Fleet) -> None:
    (broken.site / layout.manifest_path(Sequence(1))).write_bytes(bytes(trust.ENVELOPE_MAX_BYTES + 1))
    with serving(broken) as seeder:
        arguments: list[str | Path] = [*asking(seeder, broken), "--timeout", "3s"]
        refused(tmp_path, ProtocolError, *arguments, words=("sends too much", "at most"))


def test_a_site_with_a_missing_blob_is_named(tmp_path: Path, broken: Fleet) -> None:
    for blob in (broken.site / "blobs").iterdir():
        blob.unlink()
    with serving(broken) as seeder, booting(tmp_path, 1, *asking(seeder, broken), "--timeout", "4s") as node:
        status, said = node.end()
        assert status == OriginError.exit_status
        assert "found 404" in said


def test_an_altered_blob_ends_the_boot(tmp_path: Path, broken: Fleet) -> None:
    for blob in (broken.site / "blobs").iterdir():
        blob.write_bytes(bytes(blob.stat().st_size))
    with serving(broken) as seeder:
        refused(tmp_path, ArtifactError, *asking(seeder, broken), words=("other bytes", "swarmboot verify"))


def test_a_torrent_that_is_not_the_signed_one_is_refused(tmp_path: Path, broken: Fleet) -> None:
    torrents = sorted((broken.site / "torrents").iterdir())
    first, second = (torrent.read_bytes() for torrent in torrents)
    torrents[0].write_bytes(second)
    torrents[1].write_bytes(first)
    with serving(broken) as seeder:
        refused(tmp_path, ManifestError, *asking(seeder, broken), words=("not the one that was signed",))
