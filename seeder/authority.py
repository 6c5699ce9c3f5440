"""The seeder's private certificate authority: made on first start, its certificate exported for initramfs images.

Nodes trust the authority, not the seeder's certificate, so the seeder may change its addresses and renew its
certificate without rebuilding any initramfs. Certificates begin in 1970, because a node without a battery-backed clock
may believe that it is 1970; follows RFC 5280. TLS gives privacy and keeps out accidents; what a node boots is decided
by `swarmboot.trust` alone. This module will not serve anything.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarmboot.errors import KeyFileError

CA_NAME = "ca.pem"
_CA_KEY_NAME = "ca.key"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_CA_LIFE = datetime.timedelta(days=3650)
_LEAF_LIFE = datetime.timedelta(days=398)


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Paths of what the HTTPS server presents, and of the authority that nodes must know (None: a public one)."""

    certificate: Path
    key: Path
    authority: Path | None


def given_certificate(certificate: Path, key: Path) -> ServerCertificate:
    """Return the operator's own certificate and key; raise KeyFileError if they do not load together."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise KeyFileError(
            f"the TLS certificate {certificate} and key {key} cannot be used: {error.strerror or error}",
            hint="give a PEM certificate chain and its unencrypted key",
        ) from error
    return ServerCertificate(certificate, key, None)


def issue_certificate(folder: Path, names: Iterable[str]) -> ServerCertificate:
    """Return a certificate for `names` (addresses, host names) by the authority in `folder`, made if missing."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority, authority_key = _authority(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name("swarmboot seeder"))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_EPOCH)
        .not_valid_after(min(now + _LEAF_LIFE, authority.not_valid_after_utc))
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in sorted(set(names))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _write(folder / "server.key", _key_pem(key), mode=0o600)
    _write(folder / "server.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return ServerCertificate(folder / "server.pem", folder / "server.key", folder / CA_NAME)


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate((folder / CA_NAME).read_bytes())
        key = serialization.load_pem_private_key((folder / _CA_KEY_NAME).read_bytes(), password=None)
    except FileNotFoundError:
        return _make_authority(folder)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"the authority in {folder} cannot be used", found=str(error)[:200], hint="restore it, or move it away"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileError(f"the authority in {folder} cannot be used", expected="an elliptic curve key")
    return certificate, key


def _make_authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("swarmboot private authority")
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_EPOCH)
        .not_valid_after(datetime.datetime.now(datetime.UTC) + _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder / _CA_KEY_NAME, _key_pem(key), mode=0o600)
    _write(folder / CA_NAME, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return certificate, key


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """Write a whole file or nothing, never readable by others for a moment when it must not be."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
    Path(temporary).replace(path)


def local_addresses() -> list[str]:
    """Return this machine's IP addresses, from fib_trie and if_inet6 in /proc/self/net (proc(5))."""
    found = {"127.0.0.1", "::1"}
    trie = Path("/proc/self/net/fib_trie")
    if trie.exists():
        found.update(re.findall(r"-- ([0-9.]+)\n\s+/32 host LOCAL", trie.read_text()))
    inet6 = Path("/proc/self/net/if_inet6")
    if inet6.exists():
        found.update(str(ipaddress.IPv6Address(int(line.split()[0], 16))) for line in inet6.read_text().splitlines())
    return sorted(found)
