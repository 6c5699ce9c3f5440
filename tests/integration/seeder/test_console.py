"""What an operator asks at a terminal, of a running seeder and of its state folder when it is down."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from tests.support.loopback import Fleet, asking, booting, build_fleet, build_release, program, serving


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("console")
    return build_fleet(folder, build_release(folder / "release", size_bytes=400_000))


def ask(*arguments: str | Path) -> str:
    done = program("swarmboot", *arguments, COLUMNS="100")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_verb_reads_from_the_seeder_of_the_state_folder_and_from_the_folder_alone(
    fleet: Fleet, tmp_path: Path
) -> None:
    state = ("--state", fleet.folder / "state")
    with serving(fleet) as seeder:
        with booting(tmp_path, 1, *asking(seeder, fleet), "--linger", "on", "--rack", "r1") as node:
            node.report()
            assert "1 node: 1 up" in ask("status", *state)
            assert seeder.address in ask("status", "--server", seeder.address, "--ca", seeder.ca)
            assert json.loads(ask("status", "--json", *state))["nodes"]["up"] == 1
            assert "127.0.0.2" in ask("nodes", "--rack", "r1", *state)
            assert ask("nodes", "--failed", *state) == "no node is like that\n"
            assert "no node is in rack r2; there are r1" in program("swarmboot", "nodes", "--rack", "r2", *state).stderr
            name = json.loads(ask("why", "127.0.0.2", "--json", *state))["name"]
            assert f"did you mean {name}?" in program("swarmboot", "why", f"{name}-", *state).stderr
            told = ask("why", "127.0.0.2", *state)
            assert "UP for" in told
            assert "127.0.0.2" in ask("history", "--server", seeder.address, "--ca", seeder.ca)
            assert re.search(r"images +\|.*=.*\|", told)
        seeder.stop()
    again = program("swarmboot", "why", "127.0.0.2", *state)
    assert "no seeder runs here" in again.stderr
    assert "images" in again.stdout
    assert "127.0.0.2" in ask("history", *state)
    assert json.loads(ask("history", "--json", *state))["boots"][0]["release"] == 1
    assert json.loads(ask("why", "127.0.0.2", "--json", *state))["kernel"]


def test_what_cannot_be_answered_is_one_line_and_a_status_of_its_own(fleet: Fleet, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    secret = tmp_path / "ui.token"
    secret.write_text("0123456789abcdef\n")
    with serving(fleet, "--ui-token", str(secret)) as seeder:
        server = ("--server", seeder.address, "--ca", seeder.ca)
        for arguments, status, words in (
            (("why", "10.9.9.9", *server), 44, "nothing is known of '10.9.9.9'"),
            (("status", "--server", seeder.address), 21, "is not trusted"),
            (("status", "--server", f"https://127.0.0.1:{port}"), 21, "does not answer"),
            (("status", "--state", tmp_path / "none"), 21, "no seeder runs here"),
            (("status", *server, "--token-file", tmp_path / "none"), 13, "cannot be read"),
            (("status", "--server", seeder.address, "--ca", secret), 13, "holds no certificate"),
            (("status", "--server", "ftp://x"), 42, "not a server's address"),
        ):
            done = program("swarmboot", *arguments)
            assert (done.returncode, len(done.stderr.splitlines())) == (status, 1), done.stderr
            assert words in done.stderr
