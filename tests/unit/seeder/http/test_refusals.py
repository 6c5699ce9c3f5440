"""What a server's log says of clients that do not accept its certificate, and what a node says of a certificate."""

from __future__ import annotations

import ssl

import pytest

from leecher.origin.certificate import Dates, refusal_of
from seeder.http.refusals import Refusals

NOW_S = 4_070_908_800.0  # 2099-01-01


@pytest.mark.parametrize(
    ("alert", "hint"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "check its --ca"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "set its clock"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "start serve with --name"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "it does not say why"),
    ],
)
def test_each_refusal_is_told_with_what_to_do(alert: str, hint: str) -> None:
    said = Refusals().hear("10.0.0.7", alert, now_s=0.0)
    assert said.startswith("10.0.0.7 does not accept this server's certificate: ")
    assert hint in said


def test_refusals_are_counted_and_told_once_a_minute() -> None:
    refusals = Refusals()
    told = {second: refusals.hear("10.0.0.7", "TLSV1_ALERT_UNKNOWN_CA", now_s=float(second)) for second in range(121)}
    assert [second for second, line in told.items() if line] == [0, 60, 120]
    assert "certificate, 59 more since the last such line: " in told[120]
    assert refusals.count == 121


def test_what_scanners_do_is_no_refusal_of_a_certificate() -> None:
    refusals = Refusals()
    for alert in ("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_VERSION_NUMBER", ""):
        assert not refusals.hear("10.0.0.7", alert, now_s=0.0)
    assert refusals.count == 0


def said_of(code: int, *, authority_end: str = "Jan  1 00:00:00 2100 GMT") -> str:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "as OpenSSL says it"
    return str(
        refusal_of(
            error,
            "https://boot.example:8470/channels/stable.swarm",
            authorities=[{"notAfter": authority_end}],
            shown=lambda: Dates(begins_s=NOW_S + 86400, ends_s=NOW_S - 86400),
            now_s=NOW_S,
        )
    )


@pytest.mark.parametrize("code", [62, 64])
def test_another_name_or_address_is_a_matter_of_the_servers_names(code: int) -> None:
    assert said_of(code).endswith("is for other names than boot.example; start serve with --name boot.example")


def test_a_certificate_that_has_ended_or_not_begun_is_told_beside_this_machines_clock() -> None:
    hint = "set the clock, or restart serve, which makes a new certificate"
    assert f"clock says 2099-01-01, and the server's certificate ended on 2098-12-31; {hint}" in said_of(10)
    assert f"clock says 2099-01-01, and the server's certificate begins on 2099-01-02; {hint}" in said_of(9)


def test_an_authority_that_has_ended_is_told_apart_from_the_certificate() -> None:
    said = said_of(10, authority_end="Jan  1 00:00:00 1980 GMT")
    assert "this node's authority (--ca) ended on 1980-01-01, and its clock says 2099-01-01" in said
    assert said.endswith("make a new authority and rebuild the initramfs")


@pytest.mark.parametrize("code", [18, 19, 20, 21])
def test_an_authority_that_is_not_known_is_a_matter_of_ca(code: int) -> None:
    assert "is not of an authority that this node knows: found as OpenSSL says it; check --ca" in said_of(code)
