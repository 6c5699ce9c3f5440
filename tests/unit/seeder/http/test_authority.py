"""The authority in a folder: kept, gone on with, or refused; never silently another one that no node knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from seeder.http.authority import make_authority
from swarmboot.errors import KeyFileError


def test_it_is_kept(tmp_path: Path) -> None:
    before = make_authority(tmp_path).read_bytes()
    assert make_authority(tmp_path).read_bytes() == before


def test_a_certificate_whose_key_is_gone_is_kept_and_said(tmp_path: Path) -> None:
    before = make_authority(tmp_path).read_bytes()
    (tmp_path / "ca.key").unlink()
    with pytest.raises(KeyFileError, match=r"found no ca\.key beside ca\.pem; restore both, or move both away"):
        make_authority(tmp_path)
    assert (tmp_path / "ca.pem").read_bytes() == before
    assert not (tmp_path / "ca.key").exists()


def test_a_key_without_its_certificate_is_gone_on_with(tmp_path: Path) -> None:
    before = x509.load_pem_x509_certificate(make_authority(tmp_path).read_bytes())
    (tmp_path / "ca.pem").unlink()
    after = x509.load_pem_x509_certificate(make_authority(tmp_path).read_bytes())
    assert after.public_key().public_numbers() == before.public_key().public_numbers()  # type: ignore[union-attr]
    assert after.subject == before.subject


@pytest.mark.parametrize(
    ("name", "found"),
    [("ca.pem", "a ca.pem that holds no certificate in PEM"), ("ca.key", "a ca.key that holds no unencrypted key")],
)
def test_what_is_no_authority_is_refused_in_words(tmp_path: Path, name: str, found: str) -> None:
    make_authority(tmp_path)
    (tmp_path / name).write_text("x")
    with pytest.raises(KeyFileError, match=found):
        make_authority(tmp_path)


def test_a_certificate_and_another_ones_key_are_refused(tmp_path: Path) -> None:
    make_authority(tmp_path / "a")
    make_authority(tmp_path / "b")
    (tmp_path / "a/ca.key").write_bytes((tmp_path / "b/ca.key").read_bytes())
    with pytest.raises(KeyFileError, match=r"a ca\.pem that is not ca\.key's"):
        make_authority(tmp_path / "a")
