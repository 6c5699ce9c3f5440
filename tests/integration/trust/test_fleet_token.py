"""A fleet with a token: real seeder, real leechers. Who proves it is helped, who does not gets what is public."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leecher.initramfs.node_files import fetch_node_files
from leecher.origin.proving import proving_of
from swarmboot.crypto.fleet_token import (
    PROOF_HEADER,
    FleetProver,
    NodeProver,
    certificate_digest,
    decode_credentials,
    encode_credentials,
    read_tokens,
)
from swarmboot.ids import NodeId, Sequence
from swarmboot.release.profile import Identity
from swarmboot.settings import build_settings
from swarmboot.wire.announce import Announce, NodeState, encode_announce
from swarmboot.wire.private import NodeFiles
from swarmboot.wire.report import VERIFIED, BootReport, encode_report
from tests.support.loopback import (
    Fleet,
    Seeder,
    asking,
    booting,
    build_fleet,
    build_release,
    hostile,
    program,
    serving,
    status,
)
from tests.support.waiting import wait_until

NODE = NodeId(b"n" * 16)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("fleet")
    return build_fleet(folder, build_release(folder / "release", size_bytes=1_000_000))


def make_token(path: Path) -> Path:
    done = program("swarmboot", "keygen", "--fleet-token", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def token(fleet: Fleet) -> Path:
    return make_token(fleet.folder / "fleet.token")


def post(seeder: Seeder, path: str, body: bytes, headers: dict[str, str]) -> int:
    context = ssl.create_default_context(cafile=str(seeder.ca))
    request = urllib.request.Request(f"{seeder.address}{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def certificate_of(seeder: Seeder) -> bytes:
    host, port = seeder.address.removeprefix("https://").split(":")
    return certificate_digest(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port)))))


def test_a_node_with_the_token_is_one_of_the_swarm(fleet: Fleet, token: Path, tmp_path: Path) -> None:
    with serving(fleet, "--fleet-token", str(token)) as seeder:
        with booting(tmp_path, 1, *asking(seeder, fleet), "--fleet-token", token) as node:
            assert node.report()["outcome"] == VERIFIED
            assert node.end()[0] == 0
        seeder.wait_for_line(" images verified in ")
        assert not [line for line in seeder.lines if "refused" in line]
        assert any("for nodes that prove the fleet token" in line for line in seeder.lines)
        secret = token.read_text().split()[1]
        assert secret not in "\n".join(seeder.lines)


@pytest.mark.parametrize("kind", ["none", "another"])
def test_a_node_without_the_token_boots_by_plain_https_and_says_why(
    fleet: Fleet, token: Path, tmp_path: Path, kind: str
) -> None:
    given = [] if kind == "none" else ["--fleet-token", str(make_token(tmp_path / "wrong.token"))]
    with serving(fleet, "--fleet-token", str(token)) as seeder:
        with booting(tmp_path, 1, *asking(seeder, fleet), *given) as node:
            assert node.report()["outcome"] == VERIFIED
            ended, said = node.end()
        assert ended == 0
        assert len([line for line in said.splitlines() if "fleet token" in line]) == 1, said
        assert status(seeder)["nodes"] == 0
        assert any("does not prove the fleet token" in line for line in seeder.lines)
        assert not any(" images verified in " in line for line in seeder.lines)


def test_either_of_two_tokens_is_accepted_while_they_are_changed(fleet: Fleet, token: Path, tmp_path: Path) -> None:
    new = make_token(tmp_path / "new.token")
    both = tmp_path / "both.token"
    both.touch(0o600)
    both.write_text(new.read_text() + token.read_text())
    with serving(fleet, "--fleet-token", str(both)) as seeder:
        for number, given in enumerate((token, new), start=1):
            with booting(tmp_path, number, *asking(seeder, fleet), "--fleet-token", given) as node:
                ended, said = node.end()
            assert (ended, "token" in said) == (0, False), said
        assert not any("does not prove" in line for line in seeder.lines)


def test_a_proof_is_worth_nothing_for_another_node_server_or_body(fleet: Fleet, token: Path) -> None:
    (secret,) = read_tokens(token)
    announce = encode_announce(Announce(NODE, Sequence(1), NodeState.FETCHING, 0))
    other = encode_announce(Announce(NodeId(b"m" * 16), Sequence(1), NodeState.FETCHING, 0))
    report = encode_report(BootReport(NodeId(b"m" * 16).hex(), "booted"))
    with serving(fleet, "--fleet-token", str(token)) as seeder:
        shown = certificate_of(seeder)
        prover = NodeProver(NODE, secret.key_of(NODE))

        def sent(path: str, body: bytes, header: str) -> int:
            return post(seeder, path, body, {PROOF_HEADER: header} if header else {})

        good = prover.header("/announce", announce, certificate=shown)
        assert sent("/announce", announce, good) == 200
        assert sent("/announce", announce, "") == 403
        assert sent("/announce", other, prover.header("/announce", other, certificate=shown)) == 403
        assert sent("/announce", other, good) == 403
        assert sent("/announce", announce, prover.header("/announce", announce, certificate=b"c" * 32)) == 403
        assert sent("/report", report, prover.header("/report", report, certificate=shown)) == 403
        assert sent("/secrets", b"", prover.header("/secrets", b"", certificate=shown)) == 403
        assert sent("/node-files", b"", prover.header("/node-files", b"", certificate=shown)) == 403
        assert sent("/node-files", b"", FleetProver(secret, NODE).header("/node-files", b"", certificate=shown)) == 400
        assert status(seeder)["nodes"] == 1


def test_the_token_never_leaves_over_plain_http(fleet: Fleet, token: Path, tmp_path: Path) -> None:
    from leecher.origin.connection_pool import Connections, OneWrite, tls_context
    from leecher.origin.small_request import SmallRequest

    (secret,) = read_tokens(token)
    request = SmallRequest(
        Connections(tls_context(None)), "http://127.0.0.1:1/announce", max_bytes=1, body=b"x",
        prover=NodeProver(NODE, secret.key_of(NODE)),
    )  # fmt: skip
    assert request._proof(OneWrite("127.0.0.1", 1)) == {}  # what it would send there, had anybody answered


def test_a_mirror_is_asked_for_pieces_and_shown_no_proof(fleet: Fleet, token: Path, tmp_path: Path) -> None:
    with (
        hostile(fleet, "none", times=0) as mirror,
        serving(fleet, "--fleet-token", str(token), "--origin", mirror.address) as seeder,
        booting(tmp_path, 1, *asking(seeder, fleet), "--fleet-token", token) as node,
    ):
        ended, said = node.end()
        assert ended == 0, said
        assert mirror.asked
        assert not [headers for headers in mirror.asked if PROOF_HEADER in headers]


def test_a_seeder_without_a_token_says_once_what_that_means(fleet: Fleet, tmp_path: Path) -> None:
    with serving(fleet) as seeder:
        seeder.wait_for_line("no --fleet-token")
        assert len([line for line in seeder.lines if "token" in line]) == 1
        assert post(seeder, "/secrets", b"", {}) in (404, 405)


def node_files(folder: Path) -> Path:
    for where, text in (("default/etc/swarmboot/node", "rack=r1\n"), ("52-54-00-00-00-01/etc/motd", "one\n")):
        path = folder / where
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return folder


def asked_files(seeder: Seeder, fleet: Fleet, *tokens: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[NodeFiles, str]:
    """Return the files that a node with these tokens is given, and what it says."""
    identity = Identity(frozenset({"52:54:00:00:00:01"}))
    monkeypatch.setattr("leecher.initramfs.node_files.read_identity", lambda: identity)
    words = {"server": seeder.address, "ca": str(seeder.ca), "trust": str(fleet.pub)}
    settings = build_settings(words | ({"fleet_token": str(tokens[0])} if tokens else {}))
    said: list[str] = []
    return fetch_node_files(settings, proving_of(settings), tell=said.append, patience_s=0.0), "\n".join(said)


def test_node_files_go_over_https_to_who_proves_the_token_and_no_longer_over_plain_http(
    fleet: Fleet, token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pxe = ["--pxe-listen", "127.0.0.1:0", "--node-files", str(node_files(tmp_path / "files"))]
    with serving(fleet, *pxe, "--fleet-token", str(token)) as seeder:
        plain = seeder.stage0_url()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{plain}/node.img?mac=52:54:00:00:00:01", timeout=10)
        files, said = asked_files(seeder, fleet, token, monkeypatch=monkeypatch)
        assert files == {"etc/swarmboot/node": (0o644, b"rack=r1\n"), "etc/motd": (0o644, b"one\n")}
        assert said == ""
        assert asked_files(seeder, fleet, monkeypatch=monkeypatch) == ({}, "")
        wrong = make_token(tmp_path / "wrong.token")
        files, said = asked_files(seeder, fleet, wrong, monkeypatch=monkeypatch)
        assert (files, "does not accept this node's fleet token" in said) == ({}, True)
    with serving(fleet, *pxe) as seeder:
        plain = seeder.stage0_url()
        with urllib.request.urlopen(f"{plain}/node.img?mac=52:54:00:00:00:01", timeout=10) as answer:
            assert b"rack=r1" in answer.read()


def test_a_node_goes_on_without_its_files_where_the_seeder_is_gone(
    fleet: Fleet, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(fleet, "--fleet-token", str(token)) as seeder:
        seeder.stop()
        files, said = asked_files(seeder, fleet, token, monkeypatch=monkeypatch)
    assert (files, "going on without this node's own files" in said) == ({}, True)


_NEIGHBOUR = """
import sys, time
from leecher.boot.options import BootOptions
from leecher.boot.start import boot
from leecher.boot.reports.reporting import FirstWord
from swarmboot.wire.report import BOOTED, BootReport
from swarmboot.settings import build_settings
credentials, *words = sys.argv[1:]
settings = build_settings(dict(word.split("=", 1) for word in words))
word = FirstWord(BootReport("", BOOTED))
boot(BootOptions(settings, time.monotonic(), credentials=credentials, first_word=word))
"""


def shown(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("console*"))


def test_a_neighbour_announces_with_its_credentials_and_can_have_nothing_else(
    fleet: Fleet, token: Path, tmp_path: Path
) -> None:
    (secret,) = read_tokens(token)
    credentials = encode_credentials(NODE, b"k" * 16, secret)
    assert token.read_text().split()[1] not in credentials
    words = {"into": tmp_path / "node", "bind": "127.0.0.2", "reserve": "0", "progress": "none", "linger": "on"}
    with serving(fleet, "--fleet-token", str(token)) as seeder:
        asked = words | {"server": seeder.address, "ca": seeder.ca, "trust": fleet.pub}
        given = [f"{name}={value}" for name, value in asked.items()]
        for number in range(2):  # and again, as systemd starts it again, under the same id
            console = tmp_path / f"console{number}"
            command = [sys.executable, "-c", _NEIGHBOUR, credentials, *given]
            with console.open("w") as said, subprocess.Popen(command, stderr=said, text=True) as process:
                try:
                    wait_until(
                        "a neighbour that seeds",
                        lambda: status(seeder)["complete"] == 1 and b"seeding" in shown(tmp_path),
                        process=process,
                    )
                finally:
                    process.terminate()
            assert status(seeder)["complete"] == 0
            assert b"token" not in console.read_bytes()
            console.unlink()
        assert not any("does not prove" in line for line in seeder.lines)
        assert len([line for line in seeder.lines if f"node {NODE.hex()[:8]}" in line and " booted " in line]) == 2
        assert not any(" verified " in line for line in seeder.lines)
        known = decode_credentials(credentials)
        assert known is not None
        for path in ("/secrets", "/node-files"):
            header = known[2].header(path, b"x", certificate=certificate_of(seeder))
            assert post(seeder, path, b"x", {PROOF_HEADER: header}) == 403


def test_a_kept_connection_whose_tls_has_broken_is_dialled_anew(fleet: Fleet, token: Path) -> None:
    from leecher.origin.connection_pool import Connections, OneWriteTls, tls_context
    from leecher.origin.small_request import SmallRequest

    (secret,) = read_tokens(token)
    with serving(fleet, "--fleet-token", str(token)) as seeder:
        context = tls_context(seeder.ca)
        connections = Connections(context)
        url = f"{seeder.address}/announce"
        parts = urlsplit(url)
        assert parts.hostname is not None
        broken = OneWriteTls(parts.hostname, parts.port, context=context)
        unspoken, other = socket.socketpair()
        with other:
            broken.sock = context.wrap_socket(unspoken, server_hostname="127.0.0.1", do_handshake_on_connect=False)
            connections.give_back(url, broken)
            announce = encode_announce(Announce(NODE, Sequence(1), NodeState.FETCHING, 0))
            prover = NodeProver(NODE, secret.key_of(NODE))
            request = SmallRequest(connections, url, max_bytes=1 << 18, body=announce, prover=prover)
            request.run()
            connections.close()
        assert request.answer
