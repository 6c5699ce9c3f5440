"""Two commands that read, change and write the same files, at once: the second one sees what the first has written."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from swarmboot.errors import SiteBusyError
from swarmboot.host.folder_lock import alone_in
from tests.support.commands import run
from tests.support.waiting import wait_until

A, B = "52:54:00:00:00:0a", "52:54:00:00:00:0b"


def started(*arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "swarmboot", *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def has_open(process: subprocess.Popen[str], folder: Path) -> bool:
    """Return whether a process has opened a folder, as one that waits for its turn there has."""
    links = Path(f"/proc/{process.pid}/fd")
    try:
        return str(folder) in {str(link.readlink()) for link in links.iterdir()}
    except OSError:  # it has ended, or closed one meanwhile
        return False


def end(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said


def test_of_two_imports_at_once_neither_loses_its_rows(tmp_path: Path) -> None:
    release = tmp_path / "release"
    (release / "nodes").mkdir(parents=True)
    for name, mac in (("a", A), ("b", B)):
        (tmp_path / f"{name}.csv").write_text(f"mac,name,rack\n{mac},{name},r1\n")
    with alone_in(release):
        second = started("nodes", "import", tmp_path / "b.csv", release, "--rack-map", tmp_path / "racks")
        wait_until("the second one at the door", lambda: has_open(second, release), process=second)
        (release / "nodes/hosts.csv").write_text(f"mac,name,rack\n{A},a,r1\n")  # as the first one does
    end(second)
    table, racks = (release / "nodes/hosts.csv").read_text(), (tmp_path / "racks").read_text()
    assert all(mac in text for mac in (A, B) for text in (table, racks))
    assert [path.name for path in release.iterdir()] == ["nodes"], "the lock leaves nothing"


def test_six_imports_at_once_leave_six_rows(tmp_path: Path) -> None:
    release = tmp_path / "release"
    release.mkdir()
    macs = [f"52:54:00:00:01:{number:02x}" for number in range(6)]
    for mac in macs:
        (tmp_path / f"{mac}.csv").write_text(f"mac\n{mac}\n")
    running = [started("nodes", "import", tmp_path / f"{mac}.csv", release) for mac in macs]
    for process in running:
        end(process)
    table = (release / "nodes/hosts.csv").read_text()
    assert [mac for mac in macs if mac not in table] == []


def test_a_folder_that_stays_taken_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seeder.console.hosts_cli.alone_in", partial(alone_in, wait_s=0.0))
    (tmp_path / "a.csv").write_text(f"mac\n{A}\n")
    (tmp_path / "release").mkdir()
    with open_and_locked(tmp_path / "release"):
        done = run("nodes", "import", tmp_path / "a.csv", tmp_path / "release")
    assert done.status == SiteBusyError.exit_status
    assert done.err.count("\n") == 1
    assert f"another command is writing to {tmp_path}/release" in done.err
    assert list((tmp_path / "release").iterdir()) == []


def open_and_locked(folder: Path) -> subprocess.Popen[bytes]:
    """Return a program that holds the folder until it is left: flock(1), whose lock is that of flock(2)."""
    holder = subprocess.Popen(["flock", str(folder), "sh", "-c", "echo held; read -r _"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_two_authorities_made_at_once_are_one(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with alone_in(state):
        both = [started("ca", "--state", state) for _ in range(2)]
        for process in both:
            wait_until("it at the door", lambda process=process: has_open(process, state), process=process)  # type: ignore[misc]
    for process in both:
        end(process)
    certificate = x509.load_pem_x509_certificate((state / "ca.pem").read_bytes())
    key = load_pem_private_key((state / "ca.key").read_bytes(), password=None)
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)


def test_two_publishes_to_one_site_are_not_mixed(tmp_path: Path) -> None:
    """The site's own lock refuses the second one at once: its writers take minutes."""
    site = tmp_path / "site"
    (tmp_path / "release").mkdir()
    (tmp_path / "release/rootfs.squashfs").write_bytes(b"hsqs" + bytes(5000))
    assert run("keygen", "--out", tmp_path / "keys").status == 0
    publish = ("publish", "--force", tmp_path / "release", "--site", site, "--key", tmp_path / "keys/swarmboot.key")
    assert run(*publish).status == 0
    own = ("--key", tmp_path / "keys/swarmboot.key")
    with open_and_locked(site / ".lock"):
        for words in (
            publish, ("pin", site, 1), ("promote", site, "stable", "edge", *own), ("rollback", site, *own),
            ("canary", "set", site, "stable", "--share", "5%", *own), ("canary", "clear", site), ("prune", site),
        ):  # fmt: skip
            done = run(*words)
            assert done.status == SiteBusyError.exit_status, (words, done.err)
            assert done.err.count("\n") == 1
