"""The systemd unit that `swarmboot unit` makes: what it holds, how it quotes, and whom it refuses."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from seeder.http.hypercorn_connection import BACKLOG
from seeder.serve.unit_cli import plan_unit, unit
from seeder.stage0.dhcp.dnsmasq_process import CAPABILITIES, lacking_capabilities
from seeder.systemd.notify import watchdog_s
from seeder.systemd.sockets import handed_over
from seeder.systemd.unit import (
    NAME,
    SOCKET,
    ServeUnit,
    credential,
    needed_capabilities,
    quoted,
    socket_text,
    unit_text,
)
from swarmboot.errors import MalformedSettingError, SiteError, UnreadableError
from tests.support.tree import HOOK

MAX_EXPOSED = 2.0
SEED = HOOK / "seed.service"
PXE = ("--pxe", "eth1", "--dhcp-range", "10.0.0.100,10.0.0.250")
needs_analyze = pytest.mark.needs("systemd-analyze")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name in ("manifests/1.swarm", "channels/stable.swarm"):
        (tmp_path / "site" / name).parent.mkdir(parents=True)
        (tmp_path / "site" / name).touch()
    return tmp_path / "site"


def lines_of(site: Path, *options: str) -> list[str]:
    return unit_text(plan_unit((str(site), *options))).splitlines()


def value_of(lines: list[str], name: str) -> str:
    (found,) = [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]
    return found


def exposure(path: Path) -> float:
    """Return systemd's own verdict on a unit, 0 to 10 (systemd-analyze(1), security)."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return float(done.stdout.rpartition("exposure level for")[2].split(":")[1].split()[0])


@needs_analyze
@pytest.mark.parametrize("options", [(), PXE, ("--pxe-listen", ":80")], ids=["plain", "pxe", "pxe-listen"])
def test_the_seeders_unit_is_exposed_by_at_most_two(site: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / NAME).write_text(unit_text(plan_unit((str(site), *options))))
    assert exposure(tmp_path / NAME) <= MAX_EXPOSED


@needs_analyze
def test_the_neighbours_unit_is_exposed_by_at_most_two() -> None:
    assert exposure(SEED) <= MAX_EXPOSED


@needs_analyze
def test_systemd_finds_no_fault_in_the_units(site: Path, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(unit_text(plan_unit((str(site), *PXE, "--racks", 'a "b" 50% $HOME'))))
    (tmp_path / SOCKET).write_text(socket_text(plan_unit((str(site), "--listen", "[2001:db8::1]:8470"))))
    for path in (tmp_path / NAME, tmp_path / SOCKET, SEED):
        done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
        assert [line for line in done.stderr.splitlines() if path.name in line] == []


def test_a_service_on_high_ports_has_no_capability_at_all(site: Path) -> None:
    lines = lines_of(site)
    assert value_of(lines, "CapabilityBoundingSet") == ""
    assert value_of(lines, "PrivateUsers") == "yes"
    assert not any(line.startswith("AmbientCapabilities") for line in lines)


def test_a_port_below_1024_is_one_capability_and_dhcp_is_two_more() -> None:
    assert needed_capabilities([8470, 0, 1024], has_dnsmasq=False) == ()
    assert needed_capabilities([8470, 443], has_dnsmasq=False) == ("CAP_NET_BIND_SERVICE",)
    assert needed_capabilities([8470], has_dnsmasq=True) == tuple(CAPABILITIES)


def test_every_path_becomes_absolute_and_what_is_hidden_is_bound(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "racks").touch()
    lines = lines_of(Path("site"), *PXE, "--racks", "racks")
    words = shlex.split(value_of(lines, "ExecStart"))
    assert words[words.index("serve") + 1] == str(site)
    assert words[words.index("--racks") + 1] == str(tmp_path / "racks")
    assert f'BindReadOnlyPaths=-"{site}"' in lines


def test_secrets_are_credentials_that_only_root_reads(site: Path, tmp_path: Path) -> None:
    for name in ("cert", "key", "token"):
        (tmp_path / name).touch(0o600)
    given = ("--tls-cert", tmp_path / "cert", "--tls-key", tmp_path / "key", "--fleet-token", tmp_path / "token")
    lines = lines_of(site, *map(str, given))
    command = value_of(lines, "ExecStart")
    for option, name in (("tls-cert", "cert"), ("tls-key", "key"), ("fleet-token", "token")):
        assert f"LoadCredential={option}:{tmp_path / name}" in lines
        assert f"--{option} {credential(option)}" in command
        assert not any(line == f'BindReadOnlyPaths=-"{tmp_path / name}"' for line in lines)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--uplink", "fast"), ("--history-size", "none"), ("--origin", "mirror"), ("--loki", "ftp://x")],
)
def test_what_serve_would_refuse_is_in_no_unit(site: Path, option: str, value: str) -> None:
    with pytest.raises(MalformedSettingError, match=f"^{option} is malformed"):
        plan_unit((str(site), option, value))


def test_what_is_given_stands_in_the_unit_as_it_was_typed(site: Path) -> None:
    given = ("--uplink", "900mbit", "--origin", "https://a:1", "--origin", "https://b:2/", "--stuck-after", "2min")
    words = shlex.split(value_of(lines_of(site, *given), "ExecStart"))
    assert sorted(words[words.index("serve") + 2 :]) == sorted(given)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("10.0.0.1:8470", "10.0.0.1:8470"),
        ("two words", '"two words"'),
        ("50%", '"50%%"'),
        ("$HOME", '"$$HOME"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("", '""'),
        (";", '";"'),
        (credential("tls-key"), "${CREDENTIALS_DIRECTORY}/tls-key"),
    ],
)
def test_arguments_are_quoted_as_systemd_reads_them(argument: str, expected: str) -> None:
    assert quoted(argument) == expected


def test_an_argument_cannot_bring_a_line_of_its_own() -> None:
    evil = ServeUnit(command=("serve", "a\nUser=root"), credentials={}, reads=(), capabilities=())
    with pytest.raises(MalformedSettingError, match="one line"):
        unit_text(evil)


@pytest.mark.parametrize("name", ["--racks", "--fleet-token"])
def test_a_path_cannot_bring_a_line_of_its_own_either(site: Path, name: str) -> None:
    with pytest.raises(MalformedSettingError, match="one line"):
        unit_text(plan_unit((str(site), name, "/srv/a\nUser=root")))


def test_installing_twice_leaves_one_unit_that_says_the_latter(site: Path, tmp_path: Path) -> None:
    root, path = tmp_path / "root", tmp_path / "root/etc/systemd/system" / NAME
    for rate in ("100mbit", "900mbit"):
        done = CliRunner().invoke(unit, ["install", "--root", str(root), str(site), "--uplink", rate])
        assert done.exception is None, done.output
        assert "systemctl daemon-reload" in done.output
    assert "--uplink 900mbit" in path.read_text()
    assert (path.stat().st_mode & 0o777, [each.name for each in path.parent.iterdir()]) == (0o644, [NAME])


def test_a_socket_is_made_if_wanted_kept_in_step_and_taken_away_if_not(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "root/etc/systemd/system"

    def install(*options: str) -> str:
        done = CliRunner().invoke(unit, ["install", "--root", str(tmp_path / "root"), str(site), *options])
        assert done.exception is None, done.output
        return done.output

    assert "enable --now swarmboot.socket swarmboot" in install("--socket")
    assert f"\nListenStream=0.0.0.0:8470\nFreeBind=yes\nBacklog={BACKLOG}\n" in (folder / SOCKET).read_text()
    install("--listen", "[2001:db8::1]:81")
    assert "\nListenStream=[2001:db8::1]:81\n" in (folder / SOCKET).read_text()
    (folder / "sockets.target.wants").mkdir()
    (folder / "sockets.target.wants" / SOCKET).symlink_to(folder / SOCKET)
    assert f"systemctl stop {SOCKET} && systemctl daemon-reload" in install("--no-socket")
    assert sorted(path.name for path in folder.rglob("*")) == ["sockets.target.wants", NAME]
    assert SOCKET not in install()


@pytest.mark.parametrize("address", ["server.example:8470", "10.0.0.1:0"])
def test_systemd_can_hold_an_address_alone(site: Path, address: str) -> None:
    with pytest.raises(MalformedSettingError, match="socket unit"):
        socket_text(plan_unit((str(site), "--listen", address)))


@pytest.mark.parametrize(
    "environ", [{}, {"LISTEN_FDS": "1", "LISTEN_PID": "8"}, {"LISTEN_FDS": "x", "LISTEN_PID": "7"}]
)
def test_sockets_are_taken_by_the_process_they_are_meant_for(environ: dict[str, str]) -> None:
    assert handed_over(environ, pid=7) == ()
    assert environ == {}


def test_what_serve_would_refuse_is_refused_before_a_unit_is_written(site: Path, tmp_path: Path) -> None:
    def refusal(*arguments: object) -> BaseException | None:
        words = ["install", "--root", str(tmp_path / "root"), *map(str, arguments)]
        return CliRunner().invoke(unit, words).exception

    assert isinstance(refusal(tmp_path / "nowhere"), SiteError)
    assert isinstance(refusal(site, "--listen", "here"), MalformedSettingError)
    assert isinstance(refusal(site, "--state", "/srv/state"), MalformedSettingError)
    assert isinstance(refusal(site, "--no-such-option"), SystemExit)
    (tmp_path / "racks").touch(0o600)
    assert isinstance(refusal(site, *PXE, "--racks", tmp_path / "racks"), UnreadableError)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("environ", "expected_s"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "odd"}, 0.0),
    ],
)
def test_the_watchdog_counts_for_the_process_it_names(environ: dict[str, str], expected_s: float) -> None:
    assert watchdog_s(environ, pid=7) == expected_s


def test_a_process_without_capabilities_is_told_which_it_lacks() -> None:
    assert lacking_capabilities("Name:\tx\nCapEff:\t0000000000000000\n") == tuple(CAPABILITIES)
    assert lacking_capabilities("Name:\tx\nCapEff:\t0000000000003400\n") == ()
    assert lacking_capabilities("Name:\tx\nCapEff:\t0000000000001400\n") == ("CAP_NET_RAW",)
