"""Secret settings, from env/*.secret.env to a node's file: real publish, real seeder, real leechers, and every place
where they must not turn up.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from leecher.machine.identity import read_identity
from swarmboot.release.node_overlay import decode_files
from tests.integration.trust.test_fleet_token import make_token
from tests.support.loopback import Fleet, Seeder, asking, booting, build_release, program, serving

KEY_MARK = "not-for-everybody-0815"
PASSWORD, GPU_KEY = "correct-horse-battery", "gpu-licence-4711"
TOML = f"""
[[profiles]]
name = "gpu"
secret_env = {{ LICENCE = "{GPU_KEY}" }}
"""


def publish(fleet: Fleet, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    release = fleet.folder / "release"
    return program("swarmboot", "publish", "--force", release, "--site", fleet.site, "--key", fleet.key, *arguments)


def build_secret_fleet(folder: Path) -> Fleet:
    """Return a fleet whose release has secret settings, not published yet, with a token beside its keys."""
    release = build_release(folder / "release", size_bytes=500_000)
    (release / "env").mkdir()
    (release / "env/10-site.env").write_text("ROLE=compute\n")
    (release / "env/20-db.secret.env").write_text(f"DB_PASSWORD='{PASSWORD} 1'\n")
    (release / "release.toml").write_text(TOML)
    assert program("swarmboot", "keygen", "--out", folder / "keys").returncode == 0
    make_token(folder / "keys/fleet.token")
    return Fleet(folder)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    found = build_secret_fleet(tmp_path_factory.mktemp("secret"))
    done = publish(found, "--fleet-token", token_of(found))
    assert done.returncode == 0, done.stderr
    assert "sealed for the fleet token" in done.stdout
    return found


def token_of(fleet: Fleet) -> Path:
    return fleet.folder / "keys/fleet.token"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def known_to_all(fleet: Fleet, *others: bytes) -> bytes:
    return b"\n".join([*tree(fleet.site).values(), *others])


def secrets_of(fleet: Fleet) -> list[bytes]:
    return [PASSWORD.encode(), GPU_KEY.encode(), token_of(fleet).read_text().split()[1].encode()]


def get(seeder: Seeder, path: str) -> int:
    context = ssl.create_default_context(cafile=str(seeder.ca))
    try:
        with urllib.request.urlopen(f"{seeder.address}/{path}", context=context, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_release_with_secrets_is_not_published_without_a_token(tmp_path: Path) -> None:
    fleet = build_secret_fleet(tmp_path)
    done = publish(fleet)
    assert done.returncode == 50
    assert "--fleet-token FILE" in done.stderr
    assert PASSWORD not in done.stderr
    assert not list(fleet.site.glob("manifests/*"))


def test_the_same_release_again_changes_nothing_and_another_token_issues_anew(tmp_path: Path) -> None:
    fleet = build_secret_fleet(tmp_path)
    assert publish(fleet, "--fleet-token", token_of(fleet)).returncode == 0
    before = tree(fleet.site)
    assert "nothing changed" in publish(fleet, "--fleet-token", token_of(fleet)).stdout
    assert tree(fleet.site) | {".lock": b""} == before | {".lock": b""}
    assert "as manifest 2" in publish(fleet, "--fleet-token", make_token(tmp_path / "other.token")).stdout
    assert len(list((fleet.site / "secrets").iterdir())) == 4
    assert program("swarmboot", "prune", fleet.site, "--keep", "1").returncode == 0
    assert len(list((fleet.site / "secrets").iterdir())) == 4, "nodes may still be booting what was left just now"
    assert program("swarmboot", "prune", fleet.site, "--keep", "1", "--grace", "0").returncode == 0
    assert len(list((fleet.site / "secrets").iterdir())) == 2


def test_a_node_gets_its_profiles_secrets_in_a_file_of_its_own_and_they_are_nowhere_else(
    fleet: Fleet, tmp_path: Path
) -> None:
    with serving(fleet, "--fleet-token", str(token_of(fleet))) as seeder:
        given = [*asking(seeder, fleet), "--fleet-token", token_of(fleet), "--linger"]
        for number, profile in enumerate(("", "gpu"), start=1):
            path = tmp_path / f"secret{number}/secret.env"
            with booting(tmp_path, number, *given, "--secrets", path, "--profile", profile) as node:
                report = json.dumps(node.report())
                shown = b"".join(
                    Path(f"/proc/{node.process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")
                )
                node.process.terminate()
                _, said = node.end()
            expected = f'DB_PASSWORD="{PASSWORD} 1"\n' + (f"LICENCE={GPU_KEY}\n" if profile else "")
            assert path.read_text() == expected
            assert path.stat().st_mode & 0o777 == 0o600
            public = known_to_all(fleet, report.encode(), said.encode(), shown, "\n".join(seeder.lines).encode())
            public += b"".join(path.read_bytes() for path in (tmp_path / f"node{number}").rglob("*") if path.is_file())
            assert [secret for secret in secrets_of(fleet) if secret in public] == []
        for path in (fleet.site / "secrets").iterdir():
            assert get(seeder, f"secrets/{path.name}") == 404


def test_a_node_without_the_token_stops_at_once_and_says_why(fleet: Fleet, tmp_path: Path) -> None:
    with (
        serving(fleet, "--fleet-token", str(token_of(fleet))) as seeder,
        booting(tmp_path, 1, *asking(seeder, fleet), "--secrets", tmp_path / "secret.env") as node,
    ):
        ended, said = node.end()
    assert (ended, "this node has no fleet token" in said) == (18, True), said
    assert not (tmp_path / "secret.env").exists()


def test_a_node_with_another_token_stops_at_once_and_says_why(fleet: Fleet, tmp_path: Path) -> None:
    wrong = make_token(tmp_path / "wrong.token")
    with (
        serving(fleet, "--fleet-token", str(token_of(fleet))) as seeder,
        booting(
            tmp_path, 1, *asking(seeder, fleet), "--fleet-token", wrong, "--secrets", tmp_path / "secret.env"
        ) as node,
    ):
        ended, said = node.end()
    assert (ended, "this server does not accept the node's fleet token" in said) == (18, True), said


def test_a_token_is_changed_without_a_day_on_which_nodes_cannot_boot(tmp_path: Path) -> None:
    fleet = build_secret_fleet(tmp_path)
    new, both = make_token(tmp_path / "new.token"), tmp_path / "both.token"
    both.touch(0o600)
    both.write_text(token_of(fleet).read_text() + new.read_text())
    assert publish(fleet, "--fleet-token", both).returncode == 0
    with serving(fleet, "--fleet-token", str(both)) as seeder:
        for number, token in enumerate((token_of(fleet), new), start=1):
            path = tmp_path / f"{number}.env"
            given = [*asking(seeder, fleet), "--fleet-token", token, "--secrets", path]
            with booting(tmp_path, number, *given) as node:
                ended, said = node.end()
            assert ended == 0, said
            assert PASSWORD in path.read_text()
    assert publish(fleet, "--fleet-token", new).returncode == 0
    with (
        serving(fleet, "--fleet-token", str(both)) as seeder,
        booting(
            tmp_path, 3, *asking(seeder, fleet), "--fleet-token", token_of(fleet), "--secrets", tmp_path / "3.env"
        ) as node,
    ):
        ended, said = node.end()
    assert (ended, "sealed for another fleet token" in said) == (18, True), said


def test_altered_secrets_are_found_by_verify_and_by_nodes(tmp_path: Path) -> None:
    fleet = build_secret_fleet(tmp_path)
    assert publish(fleet, "--fleet-token", token_of(fleet)).returncode == 0
    assert program("swarmboot", "verify", fleet.site, "--trust", fleet.pub).returncode == 0
    for path in (fleet.site / "secrets").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    done = program("swarmboot", "verify", fleet.site, "--trust", fleet.pub)
    assert (done.returncode, "secret settings" in done.stderr) == (31, True), done.stderr
    with (
        serving(fleet, "--fleet-token", str(token_of(fleet))) as seeder,
        booting(
            tmp_path, 1, *asking(seeder, fleet), "--fleet-token", token_of(fleet), "--secrets", tmp_path / "s"
        ) as node,
    ):
        ended, said = node.end()
    assert (ended, "other secret settings than were signed" in said) == (32, True), said


def test_without_a_server_there_are_no_secrets_and_the_boot_says_so(fleet: Fleet, tmp_path: Path) -> None:
    with serving(fleet, "--fleet-token", str(token_of(fleet))) as seeder:
        given = [*asking(seeder, fleet), "--fleet-token", token_of(fleet), "--secrets", tmp_path / "1.env"]
        with booting(tmp_path, 1, *given, "--linger") as warm:
            warm.report()
            alone: list[str | Path] = [
                "--trust",
                fleet.pub,
                "--fleet-token",
                token_of(fleet),
                "--secrets",
                tmp_path / "2.env",
            ]
            with booting(tmp_path, 2, *alone, "--timeout", "30s") as node:
                ended, said = node.end()
    assert (ended, "only a seeder gives" in said) == (18, True), said


def test_a_server_that_has_no_secrets_ends_the_attempt_so_that_the_next_reads_the_channel_anew(
    fleet: Fleet, tmp_path: Path
) -> None:
    with serving(fleet) as seeder:
        given = [*asking(seeder, fleet), "--fleet-token", token_of(fleet), "--secrets", tmp_path / "secret.env"]
        with booting(tmp_path, 1, *given) as node:
            ended, said = node.end()
    assert (ended, "the server has no secret settings of this release" in said) == (22, True), said


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("env/20-db.secret.env", f"export KEY={PASSWORD}\n", "env/20-db.secret.env:1 is no setting"),
        ("env/10-site.env", "DB_PASSWORD=x\n", "DB_PASSWORD is secret in one place and public in another"),
        ("release.toml", f'[[profiles]]\nname = "gpu"\nsecret_env = ["{GPU_KEY}"]\n', "secret_env has the wrong value"),
    ],
)
def test_a_refusal_never_shows_a_secret(tmp_path: Path, file: str, text: str, line: str) -> None:
    fleet = build_secret_fleet(tmp_path)
    (fleet.folder / "release" / file).write_text(text)
    done = publish(fleet, "--fleet-token", token_of(fleet))
    assert (done.returncode, line in done.stderr) == (50, True), done.stderr
    assert PASSWORD not in done.stderr
    assert GPU_KEY not in done.stderr


def test_a_token_in_the_site_or_the_release_is_refused(tmp_path: Path) -> None:
    fleet = build_secret_fleet(tmp_path)
    done = publish(fleet, "--fleet-token", make_token(tmp_path / "release/fleet.token"))
    assert (done.returncode, "lies in the release or the site" in done.stderr) == (13, True), done.stderr


def test_a_node_gets_its_own_secret_files_and_no_file_of_another_and_they_are_nowhere_else(tmp_path: Path) -> None:
    fleet = build_secret_fleet(tmp_path)
    macs = sorted(read_identity().macs)
    if not macs:
        pytest.skip("this machine has no card with a MAC address")
    folder = fleet.folder / "release/nodes.secret"
    for layer, text in (
        ("default", "of all"), (macs[0].replace(":", "-"), "mine of {hostname}"), ("02-ff-ff-ff-ff-ff", "another's"),
    ):  # fmt: skip
        (folder / layer / "etc/ssh").mkdir(parents=True)
        (folder / layer / "etc/ssh/key.tmpl").write_text(f"{KEY_MARK} {text}")
        (folder / layer / "etc/ssh/key.tmpl").chmod(0o600)
    assert publish(fleet).returncode == 50, "without a token"
    assert publish(fleet, "--fleet-token", token_of(fleet)).returncode == 0
    assert "nothing changed" in publish(fleet, "--fleet-token", token_of(fleet)).stdout
    assert program("swarmboot", "prune", fleet.site, "--keep", "1", "--grace", "0").returncode == 0
    assert program("swarmboot", "verify", fleet.site, "--trust", fleet.pub).returncode == 0
    handed = tmp_path / "handover"
    with serving(fleet, "--fleet-token", str(token_of(fleet))) as seeder:
        done = program(
            "tests.support.boot_unpacked", *asking(seeder, fleet), "--fleet-token", token_of(fleet),
            "--into", tmp_path / "images", "--secrets", handed / "secret.env", "--reserve", "0",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = decode_files((handed / "own-secrets").read_bytes())
    assert (file.path, file.mode, file.data.decode()) == ("etc/ssh/key", 0o600, f"{KEY_MARK} mine of {{hostname}}")
    assert (handed / "own-secrets").stat().st_mode & 0o777 == 0o600
    public = known_to_all(fleet, done.stdout.encode(), done.stderr.encode(), "\n".join(seeder.lines).encode())
    public += b"".join(path.read_bytes() for path in (tmp_path / "images").rglob("*") if path.is_file())
    assert KEY_MARK.encode() not in public
