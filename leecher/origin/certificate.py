"""Why a server's certificate is not accepted, in words for whoever has to mend it: a name, a day, or an authority.

OpenSSL says no more than a code (verify(1), "Diagnostics"). For a certificate that has ended, or not begun, the server
is asked once more which it shows, without believing it: only its dates are read, and nothing is sent. Imported when a
certificate has been refused, and not before.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from swarmboot.crypto.validity import validity
from swarmboot.errors import UnreachableError

_NOT_YET, _ENDED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
"""Codes of x509_vfy.h: NOT_YET_VALID, HAS_EXPIRED, HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH."""


@dataclass(frozen=True, slots=True)
class Dates:
    """From when until when a certificate is valid, in Unix seconds."""

    begins_s: float
    ends_s: float


def refusal_of(
    error: ssl.SSLCertVerificationError,
    url: str,
    *,
    authorities: Iterable[Mapping[str, Any]],
    shown: Callable[[], Dates | None],
    now_s: float,
) -> UnreachableError:
    """Return the refusal for one code of OpenSSL's.

    `authorities` are those trusted, as `SSLContext.get_ca_certs` has them; `shown` asks for the dates of the
    certificate that the server shows.
    """
    code, clock = error.verify_code, _day(now_s)
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        host = urlsplit(url).hostname or ""
        what = f"{url} cannot be reached: its certificate is for other names than {host}"
        return UnreachableError(what, hint=f"start serve with --name {host}")
    if code not in (_NOT_YET, _ENDED):
        what = f"{url} cannot be reached: its certificate is not of an authority that this node knows"
        hint = "check --ca: it must be the ca.pem of that server's state folder"
        return UnreachableError(what, found=error.verify_message, hint=hint)
    ended = [_seconds(each["notAfter"]) for each in authorities if "notAfter" in each]
    if code == _ENDED and ended and max(ended) <= now_s:
        what = f"{url} cannot be reached: this node's authority (--ca) ended on {_day(max(ended))}"
        hint = "set the clock if it is wrong, or make a new authority and rebuild the initramfs"
        return UnreachableError(f"{what}, and its clock says {clock}", hint=hint)
    dates = shown()
    when = "has ended" if code == _ENDED else "is not valid yet"
    if dates is not None:
        when = f"ended on {_day(dates.ends_s)}" if code == _ENDED else f"begins on {_day(dates.begins_s)}"
    what = f"{url} cannot be reached: this machine's clock says {clock}, and the server's certificate {when}"
    return UnreachableError(what, hint="set the clock, or restart serve, which makes a new certificate")


def shown_dates(dial: Callable[[], socket]) -> Dates | None:
    """Return the dates of the certificate that a server shows, which nothing vouches for; None if it shows none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError, ValueError), dial() as plain, context.wrap_socket(plain) as connection:
        if data := connection.getpeercert(binary_form=True):
            from cryptography import x509

            begins, ends = validity(x509.load_der_x509_certificate(data))
            return Dates(begins.timestamp(), ends.timestamp())
    return None


def _seconds(text: str) -> float:
    try:
        return float(ssl.cert_time_to_seconds(text))
    except ValueError:
        return float("inf")


def _day(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(unix_s))
