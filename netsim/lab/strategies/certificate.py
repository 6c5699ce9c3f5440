"""A self-made certificate for the server's address, for the strategies that speak TLS. It lives as long as one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmboot.crypto.certificates import make_server_certificate

if TYPE_CHECKING:
    from pathlib import Path


def write_certificate(address: str, *, certificate_path: Path, key_path: Path) -> None:
    """Write a P-256 key and a certificate, signed by itself, that is valid for `address` today."""
    certificate, key = make_server_certificate("swarmboot lab", address)
    certificate_path.write_bytes(certificate)
    key_path.write_bytes(key)
