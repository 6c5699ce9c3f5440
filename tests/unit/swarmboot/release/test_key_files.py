"""Key files: made once, readable by their owner only, and refused when they are not what they should be."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from swarmboot.errors import KeyFileError, SpaceError
from swarmboot.release import key_files, trust
from tests.support.builders import build_key


def write_public(path: Path, *seeds: int, threshold: int = 1) -> Path:
    publics = [trust.public_bytes(build_key(seed)) for seed in seeds]
    path.write_text(trust.format_public(publics, threshold=threshold))
    return path


def test_a_pair_belongs_together_and_the_private_half_is_the_owners_alone(tmp_path: Path) -> None:
    private, public = key_files.write_pair(tmp_path / "keys")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    key = key_files.read_private(private)
    assert list(key_files.read_trust([public]).keys.values()) == [trust.public_bytes(key)]


def test_two_pairs_differ(tmp_path: Path) -> None:
    one, two = (key_files.read_private(key_files.write_pair(tmp_path / name)[0]) for name in "ab")
    assert trust.public_bytes(one) != trust.public_bytes(two)


@pytest.mark.parametrize("name", [key_files.PRIVATE_NAME, key_files.PUBLIC_NAME])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(KeyFileError, match="is there already"):
        key_files.write_pair(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / key_files.PRIVATE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="is there already"):
        key_files.write_pair(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match=r"file/keys cannot be made: Not a directory"):
        key_files.write_pair(tmp_path / "file" / "keys")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_signing_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    private, _ = key_files.write_pair(tmp_path)
    private.chmod(mode)
    with pytest.raises(KeyFileError, match="others may read"):
        key_files.read_private(private)


def test_a_public_key_given_as_signing_key_is_called_one(tmp_path: Path) -> None:
    _, public = key_files.write_pair(tmp_path)
    with pytest.raises(KeyFileError, match="found a public key"):
        key_files.read_private(public)


def test_a_signing_key_given_as_public_key_is_called_one(tmp_path: Path) -> None:
    private, _ = key_files.write_pair(tmp_path)
    with pytest.raises(KeyFileError, match="found a private key"):
        key_files.read_trust([private])


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ec.key"
    key = generate_private_key(SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(KeyFileError, match="expected an Ed25519 key"):
        key_files.read_private(path)


@pytest.mark.parametrize("data", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.key"
    path.write_bytes(data)
    with pytest.raises(KeyFileError, match="is no signing key"):
        key_files.read_private(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"none\.key cannot be read: No such file"):
        key_files.read_private(tmp_path / "none.key")
    with pytest.raises(KeyFileError, match=r"none\.pub cannot be read: No such file"):
        key_files.read_trust([tmp_path / "none.pub"])


def test_binary_data_is_no_public_key(tmp_path: Path) -> None:
    path = tmp_path / "bad.pub"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(KeyFileError, match="binary data"):
        key_files.read_trust([path])


def test_several_public_key_files_are_one_set_with_the_highest_threshold(tmp_path: Path) -> None:
    one = write_public(tmp_path / "one.pub", 1)
    two = write_public(tmp_path / "two.pub", 2, 3, threshold=2)
    found = key_files.read_trust([one, two])
    assert (len(found.keys), found.threshold) == (3, 2)


def test_no_public_key_file_at_all_is_refused() -> None:
    with pytest.raises(KeyFileError, match="no public key was given"):
        key_files.read_trust([])


def test_a_full_disk_is_no_fault_of_the_key_and_leaves_no_half_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        if (tmp_path / key_files.PUBLIC_NAME).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpaceError, match=r"swarmboot\.pub cannot be written: No space left"):
        key_files.write_pair(tmp_path)
    assert list(tmp_path.iterdir()) == []
