"""Certificates, authorities and manifests that end, clocks that are wrong: real programs under libfaketime."""

from __future__ import annotations

import ssl
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from seeder.http.authority import issue_certificate
from swarmboot.errors import KeyFileError, UnreachableError
from tests.support.loopback import Fleet, Seeder, booting, build_fleet, build_release, program, serving

pytestmark = pytest.mark.needs("faketime")
DAY_S = 86_400


def at_another_time(offset: str) -> list[str]:
    """Return what to put before a command so that its clock is off; what it waits for lasts as long as ever."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    fake = {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
    where = {"FAKETIME_TIMESTAMP_FILE": offset} if offset.startswith("/") else {"FAKETIME": offset}
    return ["env", *(f"{name}={value}" for name, value in {**fake, **where}.items())]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return build_fleet(tmp_path / "fleet", build_release(tmp_path / "release", size_bytes=300_000))


@contextmanager
def connected(seeder: Seeder) -> Iterator[tuple[HTTPSConnection, str]]:
    """Yield a connection to the seeder and the end of the certificate that it is shown."""
    address = urlsplit(seeder.address)
    context = ssl.create_default_context(cafile=str(seeder.ca))
    connection = HTTPSConnection(str(address.hostname), address.port, context=context, timeout=10)
    connection.connect()
    try:
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown = connection.sock.getpeercert()
        assert shown is not None
        yield connection, str(shown["notAfter"])
    finally:
        connection.close()


def answers(connection: HTTPSConnection) -> bool:
    connection.request("GET", "/channels/stable.swarm")
    answer = connection.getresponse()
    return bool(answer.read()) and answer.status == 200


def test_the_certificate_is_renewed_at_two_thirds_of_its_life_and_connections_live_on(
    fleet: Fleet, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0d\n")
    with serving(fleet, launcher=at_another_time(str(clock))) as seeder, connected(seeder) as (old, old_end):
        assert answers(old)
        clock.with_suffix(".new").write_text("+300d\n")
        clock.with_suffix(".new").rename(clock)
        line = seeder.wait_for_line("certificate was renewed, it ends on")
        with connected(seeder) as (new, new_end):
            gained_s = ssl.cert_time_to_seconds(new_end) - ssl.cert_time_to_seconds(old_end)
            assert abs(gained_s - 300 * DAY_S) < DAY_S
            assert datetime.fromtimestamp(ssl.cert_time_to_seconds(new_end), UTC).strftime("%Y-%m-%d") in line
            assert answers(new)
        assert answers(old), "a connection that was there is gone"


def test_an_operators_own_certificate_is_read_again_when_its_files_change(fleet: Fleet, tmp_path: Path) -> None:
    own = issue_certificate(tmp_path / "own", ["127.0.0.1"])
    with serving(fleet, "--tls-cert", str(own.certificate), "--tls-key", str(own.key)) as seeder:
        seeder.ca = tmp_path / "own" / "ca.pem"
        with connected(seeder) as (old, _):
            issue_certificate(tmp_path / "own", ["127.0.0.1", "boot.example"])
            seeder.wait_for_line("certificate was renewed")
            with connected(seeder) as (new, _):
                assert isinstance(new.sock, ssl.SSLSocket)
                assert ("DNS", "boot.example") in new.sock.getpeercert()["subjectAltName"]  # type: ignore[index]
            assert answers(old)


def test_an_authority_that_has_ended_is_refused_at_start_with_what_to_do(fleet: Fleet) -> None:
    state = fleet.folder / "state"
    issue_certificate(state, ["127.0.0.1"])
    words = ["swarmboot", "serve", str(fleet.site), "--listen", "127.0.0.1:0", "--state", str(state)]
    fake = dict(word.split("=", 1) for word in at_another_time("+4000d")[1:])
    done = program(*words, **fake)
    assert done.returncode == KeyFileError.exit_status
    assert f"the authority in {state} has ended" in done.stderr
    assert "rebuild the initramfs with the new ca.pem" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_authority_that_is_not_valid_yet_is_refused_at_start(fleet: Fleet) -> None:
    state = fleet.folder / "state"
    issue_certificate(state, ["127.0.0.1"])
    key = serialization.load_pem_private_key((state / "ca.key").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an operator's own authority")])
    now = datetime.now(UTC)
    own = x509.CertificateBuilder(name, name, key.public_key(), 7, now + timedelta(days=2), now + timedelta(days=900))
    (state / "ca.pem").write_bytes(own.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    done = program("swarmboot", "serve", str(fleet.site), "--listen", "127.0.0.1:0", "--state", str(state))
    assert done.returncode == KeyFileError.exit_status
    (line,) = done.stderr.splitlines()
    assert f"the authority in {state} is not valid yet" in line
    assert "set the clock, or make a new authority" in line


def test_an_authority_that_is_made_while_the_clock_says_1970_is_good_when_it_is_right(fleet: Fleet) -> None:
    with serving(fleet, launcher=at_another_time("@1970-01-02 00:05:00")):
        pass
    with serving(fleet) as seeder, connected(seeder) as (connection, _):
        assert answers(connection)


@pytest.mark.parametrize(("offset", "said"), [("+25d", "ends on"), ("+400d", "ended on")])
def test_a_manifest_and_a_pointer_near_their_end_are_told_at_start(
    tmp_path: Path, fleet: Fleet, offset: str, said: str
) -> None:
    fleet.publish(build_release(tmp_path / "second", seed=2), "--expires", "30d", "--pointer-expires", "28d")
    with serving(fleet) as seeder:
        seeder.wait_for_line("no --fleet-token")
        time.sleep(0.2)
        assert not any("ends on" in line or "ended on" in line for line in seeder.lines)
    with serving(fleet, launcher=at_another_time(offset)) as seeder:
        assert f"which channel stable points to, {said} " in seeder.wait_for_line("manifest 2 (second)")
        assert f"the pointer of channel stable {said} " in seeder.wait_for_line("the pointer of")


def refused(fleet: Fleet, seeder: Seeder, folder: Path, *arguments: str | Path, offset: str = "+0d") -> str:
    """Return what a node says that does not accept the server's certificate."""
    how = ["--trust", fleet.pub, "--timeout", "4s", "--discovery", "off", *arguments]
    with booting(folder, 1, *how, python=[*at_another_time(offset), sys.executable]) as node:
        status, said = node.end()
    assert status == UnreachableError.exit_status, said
    return said


def test_a_node_that_refuses_the_certificate_says_what_to_do_and_so_does_the_seeders_log(
    fleet: Fleet, tmp_path: Path
) -> None:
    with serving(fleet, "--listen", "0.0.0.0:0") as seeder:
        port = urlsplit(seeder.address).port
        server, other = f"https://127.0.0.1:{port}", f"https://127.0.0.77:{port}"
        said = refused(fleet, seeder, tmp_path / "a", "--server", other, "--ca", seeder.ca)
        assert "for other names than 127.0.0.77; start serve with --name 127.0.0.77" in said
        said = refused(fleet, seeder, tmp_path / "b", "--server", server, "--ca", seeder.ca, offset="+500d")
        assert "this machine's clock says 202" in said
        assert "the server's certificate ended on 202" in said
        authority = issue_certificate(tmp_path / "c", ["127.0.0.1"]).authority
        assert authority is not None
        said = refused(fleet, seeder, tmp_path / "c", "--server", server, "--ca", authority)
        assert "is not of an authority that this node knows" in said
        assert "check --ca" in said
        line = seeder.wait_for_line("does not accept this server's certificate")
        assert "127.0.0.2 does not accept" in line
        assert "start serve with --name" in line
        assert sum("does not accept" in line for line in seeder.lines) == 1, "one line a minute"
        context = ssl.create_default_context(cafile=str(seeder.ca))
        with urllib.request.urlopen(f"{server}/status", context=context, timeout=10) as answer:
            assert b'"refused_handshakes"' in answer.read()
