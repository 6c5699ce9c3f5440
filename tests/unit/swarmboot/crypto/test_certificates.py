"""Certificates as swarmboot makes them: who signed, for whom, and what they say besides."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from swarmboot.crypto.certificates import Issuer, host_names, make_certificate, make_server_certificate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_certificate_is_signed_by_its_issuer_or_by_itself() -> None:
    keys = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = make_certificate("root", keys[0], begins=NOW, ends=NOW + 2 * DAY, extensions=[])
    leaf = make_certificate(
        "leaf", keys[1], begins=NOW, ends=NOW + DAY, extensions=[], issuer=Issuer(root.subject, keys[0])
    )
    assert root.issuer == root.subject == leaf.issuer != leaf.subject
    keys[0].public_key().verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(leaf.signature_hash_algorithm))  # type: ignore[arg-type]


def test_addresses_and_names_are_told_apart_and_each_stands_once() -> None:
    names = host_names(["rack.example", "10.0.0.1", "fd00::1", "10.0.0.1"])
    assert names.get_values_for_type(x509.DNSName) == ["rack.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "fd00::1"]


def test_a_server_certificate_and_its_key_belong_together(tmp_path: Path) -> None:
    certificate, key = make_server_certificate("test", "127.0.0.1")
    (tmp_path / "both.pem").write_bytes(certificate + key)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "both.pem")
