"""What `swarmboot serve` says to options that cannot be meant as they are: one line, its status, what to give."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmboot.errors import MalformedSettingError, PortInUseError
from tests.support.commands import BOUND_S, run
from tests.support.loopback import Fleet, build_fleet, build_release, serving


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("options")
    return build_fleet(folder / "fleet", build_release(folder / "release", size_bytes=300_000))


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("verb", ["serve", "unit show"])
@pytest.mark.parametrize(
    ("name", "give"), [("https://boot.example:8470", "boot.example"), ("10.0.0.1:8470", "10.0.0.1")]
)
def test_a_name_that_is_a_url_or_has_a_port_is_refused_with_what_to_give(
    fleet: Fleet, tmp_path: Path, verb: str, name: str, give: str
) -> None:
    state = ["--state", tmp_path] if verb == "serve" else []
    done = run(*verb.split(), fleet.site, "--name", name, *state)
    assert done.status == MalformedSettingError.exit_status
    said = (
        f"--name is no host: expected a host's name or an address, and nothing else, found {name!r}; give --name {give}"
    )
    assert done.line == f"swarmboot: {said}"
    assert not list(tmp_path.iterdir())


def test_a_name_with_other_letters_is_refused_with_its_idna_form(fleet: Fleet, tmp_path: Path) -> None:
    done = run("serve", fleet.site, "--name", "münchen.example", "--state", tmp_path)
    assert done.status == MalformedSettingError.exit_status
    assert done.line.endswith("give --name xn--mnchen-3ya.example")


def test_each_listener_names_its_own_option(fleet: Fleet, tmp_path: Path, taken: str) -> None:
    state = ["--state", tmp_path]
    done = run("serve", fleet.site, "--listen", "127.0.0.1:0", "--pxe-listen", taken, *state)
    assert (done.status, done.line.rpartition("; ")[2]) == (
        PortInUseError.exit_status,
        "choose another with --pxe-listen ADDR:PORT",
    )
    done = run("serve", fleet.site, "--listen", taken, *state)
    assert done.line.endswith("choose another with --listen ADDR:PORT")
    done = run("serve", fleet.site, "--listen", "127.0.0.1:0", "--pxe-listen", "80", *state)
    assert done.status == MalformedSettingError.exit_status
    assert done.line.startswith("swarmboot: --pxe-listen is malformed")


def test_node_files_that_are_not_there_are_refused_and_what_nobody_is_given_is_said(
    fleet: Fleet, tmp_path: Path
) -> None:
    state = ["--state", tmp_path / "state"]
    done = run("serve", fleet.site, "--listen", "127.0.0.1:0", "--node-files", tmp_path / "nothere", *state)
    assert done.status == MalformedSettingError.exit_status
    assert f"--node-files {tmp_path}/nothere cannot be used" in done.line
    (tmp_path / "files" / "52-54-00-AB-CD-EF").mkdir(parents=True)
    with serving(fleet, "--pxe-listen", "127.0.0.1:0", "--node-files", str(tmp_path / "files")) as seeder:
        note = "52-54-00-AB-CD-EF is passed over: call it 52-54-00-ab-cd-ef"
        seeder.wait_for_line(note)


@pytest.mark.parametrize(
    ("verb", "option", "value"),
    [
        ("serve", "--uplink", "fast"),
        ("serve", "--origin", "mirror"),
        ("serve", "--history-size", "0"),
        ("serve", "--stuck-after", "0s"),
        ("serve", "--syslog", "514"),
        ("serve", "--loki", "ftp://loki:3100"),
        ("publish", "--uplink", "fast"),
        ("publish", "--expires", "1y"),
        ("publish", "--piece", "much"),
        ("prune", "--grace", "soon"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_its_options_name_before_anything_is_written(
    fleet: Fleet, tmp_path: Path, verb: str, option: str, value: str
) -> None:
    where = {"serve": ["--listen", "127.0.0.1:0", "--state", tmp_path], "publish": ["--site", tmp_path / "site"]}
    done = run(verb, fleet.site, option, value, *where.get(verb, []))
    assert done.status == MalformedSettingError.exit_status
    assert done.line.startswith(f"swarmboot: {option} is ")
    assert repr(value).strip("'") in done.line
    assert not list(tmp_path.iterdir())


@pytest.mark.root
@pytest.mark.parametrize(
    ("verb", "hint"), [("serve", "give --state DIR"), ("publish", "give --key FILE")], ids=["serve", "publish"]
)
def test_a_user_without_a_home_is_told_which_option_to_give(fleet: Fleet, tmp_path: Path, verb: str, hint: str) -> None:
    words = ["serve", fleet.site, "--listen", "127.0.0.1:0"]
    if verb == "publish":
        words = ["publish", build_release(tmp_path / "release", size_bytes=100_000), "--site", tmp_path / "site"]
    environment = {name: value for name, value in os.environ.items() if name != "HOME" and not name.startswith("XDG_")}
    nobody = ["unshare", "--user", "--map-user=54321", "--map-group=54321", "--"]  # user_namespaces(7)
    command = [*nobody, sys.executable, "-m", "swarmboot", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=False, env=environment)
    assert done.returncode == MalformedSettingError.exit_status, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.endswith(f"found none for user 54321; {hint}")


def test_the_authority_is_made_before_there_is_a_server_and_is_the_one_it_serves_with(
    fleet: Fleet, tmp_path: Path
) -> None:
    state, out = fleet.folder / "state", tmp_path / "ca.pem"
    made = run("ca", "--state", state, "--out", out, "--json")
    assert made.status == 0, made.err
    assert run("ca", "--state", state, "--json").value["sha256"] == made.value["sha256"]
    assert (state / "ca.key").stat().st_mode & 0o777 == 0o600
    with serving(fleet) as seeder:
        context = ssl.create_default_context(cafile=out)
        with urllib.request.urlopen(f"{seeder.address}/channels/stable.swarm", context=context) as answer:
            assert answer.status == 200


_AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "swarmboot", *sys.argv[2:]])
"""


def test_an_address_that_systemd_holds_is_that_of_listen_or_none(fleet: Fleet, tmp_path: Path) -> None:
    """As systemd starts a program: descriptor 3, and variables that name its process (sd_listen_fds(3))."""
    options = ("serve", str(fleet.site), "--listen", "127.0.0.1:1", "--state", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        done = subprocess.run(
            (sys.executable, "-c", _AS_SYSTEMD, str(held.fileno()), *options),
            pass_fds=(held.fileno(),), capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip
    assert done.returncode == MalformedSettingError.exit_status
    assert f"holds another address than --listen says: expected 127.0.0.1:1, found 127.0.0.1:{port};" in done.stderr
    assert not list(tmp_path.iterdir())
