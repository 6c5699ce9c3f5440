"""TLS handshakes that clients end because they do not accept this server's certificate: counted, told now and then.

Without a word of it the log of a server whose rack has another authority, or another clock, is empty. Pure: told what
happened and when, it says what there is to say. What is kept is bounded.
"""

from __future__ import annotations

from collections import Counter

TELL_EVERY_S = 60.0
_KINDS = {"UNKNOWN_CA": "authority", "CERTIFICATE_EXPIRED": "clock", "BAD_CERTIFICATE": "name"}
_REASONS = {
    "UNKNOWN_CA": "it has another authority: check its --ca (swarmboot.ca) against this server's ca.pem",
    "CERTIFICATE_EXPIRED": "for its clock the certificate or the authority has ended: set its clock",
    "BAD_CERTIFICATE": "it uses a name or an address that the certificate does not have (start serve with --name), or "
    "its clock is far behind",
}
_ABOUT_CERTIFICATES = (*_REASONS, "CERTIFICATE_UNKNOWN", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED")


def refusal_kind(alert: str) -> str:
    """Return in one word why a client refuses a certificate, by OpenSSL's name of its alert; nothing for others."""
    return _KINDS.get(alert.partition("_ALERT_")[2], "")


class Refusals:
    """The handshakes that were refused since the last line about them."""

    def __init__(self) -> None:
        self.count = 0
        self._since: Counter[str] = Counter()
        self._told_s = -TELL_EVERY_S

    def hear(self, host: str, alert: str, *, now_s: float) -> str:
        """Return what there is to say after one more refusal; `alert` is OpenSSL's name of it. Mostly nothing."""
        kind = alert.partition("_ALERT_")[2]
        if kind not in _ABOUT_CERTIFICATES:
            return ""
        self.count += 1
        self._since[kind] += 1
        if now_s - self._told_s < TELL_EVERY_S:
            return ""
        others = self._since.total() - 1
        self._since.clear()
        self._told_s = now_s
        before = f", {others} more since the last such line" if others else ""
        reason = _REASONS.get(kind, "it does not say why")
        return f"{host or 'somebody'} does not accept this server's certificate{before}: {reason}"
