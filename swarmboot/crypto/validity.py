"""From when until when a certificate is valid, whichever release of cryptography reads it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple


class Validity(NamedTuple):
    """The first and the last moment."""

    begins: datetime
    ends: datetime


def validity(certificate: Any) -> Validity:
    """Return a certificate's (`cryptography.x509.Certificate`); before cryptography 42 its times had no zone."""
    return Validity(_moment(certificate, "not_valid_before"), _moment(certificate, "not_valid_after"))


def _moment(certificate: Any, name: str) -> datetime:
    found: datetime | None = getattr(certificate, f"{name}_utc", None)
    if found is None:
        naive: datetime = getattr(certificate, name)
        return naive.replace(tzinfo=UTC)
    return found
