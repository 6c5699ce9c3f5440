"""The seeder's private certificate authority: made on first start, its certificate exported for initramfs images.

Nodes trust the authority, not the seeder's certificate, so the seeder may change its addresses and renew its
certificate without rebuilding any initramfs (`seeder.serve.renewal`). Certificates begin in 1970, because a node
without a battery-backed clock may believe that it is 1970; follows RFC 5280. TLS gives privacy and keeps out accidents;
what a node boots is decided by `swarmboot.trust` alone. This module will not serve anything.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from swarmboot.crypto.certificates import Issuer, host_names, key_pem, make_certificate
from swarmboot.crypto.validity import validity
from swarmboot.errors import KeyFileError
from swarmboot.host.files import write_whole
from swarmboot.host.folder_lock import alone_in

CA_NAME = "ca.pem"
_CA_KEY_NAME = "ca.key"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_CLOCK_LEAST = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
"""A clock that says less is wrong; what is made then lives from this day on, or an authority of 1970 ended in 1979."""

CA_LIFE = datetime.timedelta(days=3650)
LEAF_LIFE = datetime.timedelta(days=398)


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
    """Return a certificate for `names` (addresses, host names) by the authority in `folder`, made if missing.

    Raises KeyFileError for an authority that cannot be used or has ended.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone_in(folder):  # a certificate of one and the key of another would be of no use
        return _issue(folder, names)


def _issue(folder: Path, names: Iterable[str]) -> ServerCertificate:
    authority, authority_key = _authority(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = make_certificate(
        "swarmboot seeder",
        key,
        issuer=Issuer(authority.subject, authority_key),
        begins=_EPOCH,
        ends=leaf_end(_clock(), validity(authority).ends),
        extensions=[
            (host_names(names), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), False),
        ],
    )
    write_whole(folder / "server.key", key_pem(key), mode=0o600)
    write_whole(folder / "server.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return ServerCertificate(folder / "server.pem", folder / "server.key", folder / CA_NAME)


def make_authority(folder: Path) -> Path:
    """Return the certificate of the authority in `folder`, made if missing; raise KeyFileError if it cannot be used."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone_in(folder):
        _authority(folder)
    return folder / CA_NAME


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return the authority in a folder, made where nothing of one is there.

    One whose making was stopped after the key goes on with that key: whoever has its certificate has the right one. A
    certificate without its key is no authority any more, and only the operator knows who has it.
    """
    has_certificate, has_key = ((folder / name).exists() for name in (CA_NAME, _CA_KEY_NAME))
    if not has_key and has_certificate:
        raise _unusable(folder, f"no {_CA_KEY_NAME} beside {CA_NAME}")
    if not has_key:
        key = ec.generate_private_key(ec.SECP256R1())
        write_whole(folder / _CA_KEY_NAME, key_pem(key), mode=0o600)
        return _certify(folder, key), key
    key = _authority_key(folder)
    if not has_certificate:
        return _certify(folder, key), key
    try:
        certificate = x509.load_pem_x509_certificate((folder / CA_NAME).read_bytes())
    except OSError as error:
        raise _unusable(folder, f"{CA_NAME}: {error.strerror}") from error
    except ValueError as error:
        raise _unusable(folder, f"a {CA_NAME} that holds no certificate in PEM") from error
    if _public_bytes(certificate) != _public_bytes(key):
        raise _unusable(folder, f"a {CA_NAME} that is not {_CA_KEY_NAME}'s")
    _check_life(folder, certificate, _clock())
    return certificate, key


def _public_bytes(holder: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    """Return a public key as bytes: of Debian 12's cryptography, no key equals another (decision 43)."""
    return holder.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _authority_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key((folder / _CA_KEY_NAME).read_bytes(), password=None)
    except OSError as error:
        raise _unusable(folder, f"{_CA_KEY_NAME}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(folder, f"a {_CA_KEY_NAME} that holds no unencrypted key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unusable(folder, f"a {_CA_KEY_NAME} that is no elliptic curve key")
    return key


def _unusable(folder: Path, found: str) -> KeyFileError:
    return KeyFileError(
        f"the authority in {folder} cannot be used",
        expected=f"{CA_NAME} and its {_CA_KEY_NAME}",
        found=found,
        hint=f"restore both, or move both away: then another is made, and the initramfs is rebuilt with its {CA_NAME}",
    )


def _clock() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def leaf_end(now: datetime.datetime, authority_end: datetime.datetime) -> datetime.datetime:
    """Return when a server's certificate that is made now ends."""
    return min(max(now, _CLOCK_LEAST) + LEAF_LIFE, authority_end)


def _check_life(folder: Path, authority: x509.Certificate, now: datetime.datetime) -> None:
    """Raise KeyFileError for an authority that no node with a right clock accepts."""
    begins, ends = validity(authority)
    if ends <= now:
        raise KeyFileError(
            f"the authority in {folder} has ended",
            expected="one that nodes accept today",
            found=f"an end on {ends:%Y-%m-%d}, and this machine's clock says {now:%Y-%m-%d}",
            hint=f"if the clock is right, make a new one: move {CA_NAME} and {_CA_KEY_NAME} away, start again, and "
            f"rebuild the initramfs with the new {CA_NAME}",
        )
    if begins > now:
        raise KeyFileError(
            f"the authority in {folder} is not valid yet",
            expected="one that nodes accept today",
            found=f"a beginning on {begins:%Y-%m-%d}, and this machine's clock says {now:%Y-%m-%d}",
            hint="set the clock, or make a new authority and rebuild the initramfs with it",
        )


def first_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate of a PEM file, which is the server's own; raise KeyFileError without one."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}", hint="give a certificate in PEM") from error
    except ValueError as error:
        raise KeyFileError(f"{path} holds no certificate", expected="a certificate in PEM") from error


def covers(certificate: x509.Certificate, host: str) -> bool:
    """Return whether a certificate is one for a host, an address or a name (RFC 6125, section 6.4.3)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        name = host.lower().rstrip(".")
        wildcard = f"*.{name.partition('.')[2]}"
        return any(each.lower().rstrip(".") in (name, wildcard) for each in names.get_values_for_type(x509.DNSName))


def _certify(folder: Path, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Write and return the certificate of an authority that has this key."""
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = make_certificate(
        "swarmboot private authority",
        key,
        begins=_EPOCH,
        ends=max(_clock(), _CLOCK_LEAST) + CA_LIFE,
        extensions=[
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (usage, True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        ],
    )
    write_whole(folder / CA_NAME, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return certificate


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
