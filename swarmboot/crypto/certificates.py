"""X.509 certificates as swarmboot makes them (RFC 5280): one common name, SHA-256, and what the caller adds."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extension = tuple[x509.ExtensionType, bool]
"""What a certificate says besides, and whether it is critical."""


class Issuer(NamedTuple):
    """Who signs a certificate."""

    name: x509.Name
    key: PrivateKey


def make_certificate(
    name: str,
    key: PrivateKey,
    *,
    begins: datetime,
    ends: datetime,
    extensions: Iterable[Extension],
    issuer: Issuer | None = None,
) -> x509.Certificate:
    """Return a certificate of this common name for a key, signed by `issuer` or, without one, by itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed_by = issuer or Issuer(subject, key)
    builder = x509.CertificateBuilder(
        issuer_name=signed_by.name,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=begins,
        not_valid_after=ends,
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(signed_by.key, hashes.SHA256())


def make_server_certificate(name: str, address: str) -> tuple[bytes, bytes]:
    """Return a certificate for one address, signed by itself and good for a day, and its key, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    now, day = datetime.now(UTC), timedelta(days=1)
    extensions: tuple[Extension, ...] = (
        (host_names([address]), False),
        (x509.BasicConstraints(ca=True, path_length=None), True),
    )
    certificate = make_certificate(name, key, begins=now - day, ends=now + day, extensions=extensions)
    return certificate.public_bytes(Encoding.PEM), key_pem(key)


def host_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    """Return the extension that names a server's addresses and host names."""
    return x509.SubjectAlternativeName([_general_name(name) for name in sorted(set(names))])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def key_pem(key: PrivateKey) -> bytes:
    """Return a private key in PEM, not encrypted (PKCS #8)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
