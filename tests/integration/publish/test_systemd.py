"""What `publish --systemd` writes is what sha256sum, gpgv and curl take from a running server."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmboot.errors import KeyFileError, ReleaseError
from tests.support.commands import Done, run
from tests.support.loopback import Fleet, build_fleet, build_release, serving
from tests.support.waiting import BOUND_S

pytestmark = pytest.mark.needs("gpg", "gpgv", "gpg-agent", "curl")

KEY = "fleet@swarmboot.test"


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a gpg home with a key in it, and the key's public half beside it."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet")
    subprocess.run((*gpg, "--passphrase", "", "--quick-gen-key", KEY, "ed25519", "sign", "never"), check=True)
    subprocess.run((*gpg, "--output", str(home / "import-pubring.pgp"), "--export", KEY), check=True)
    yield home
    subprocess.run(("gpgconf", "--homedir", str(home), "--kill", "all"), check=True)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return build_fleet(tmp_path / "fleet", build_release(tmp_path / "release", size_bytes=200_000))


def publish(fleet: Fleet, release: Path, *more: object, status: int = 0) -> Done:
    done = run("publish", release, "--force", "--site", fleet.site, "--key", fleet.key, *more)
    assert done.status == status, done.err
    return done


def is_signed(folder: Path, keyring: Path) -> bool:
    command = ("gpgv", "--keyring", str(keyring / "import-pubring.pgp"), "SHA256SUMS.gpg", "SHA256SUMS")
    return subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=BOUND_S).returncode == 0


def are_right(folder: Path) -> bool:
    done = subprocess.run(
        ("sha256sum", "--check", "--strict", "SHA256SUMS"), cwd=folder, capture_output=True, check=False
    )
    return done.returncode == 0


def test_sums_signature_and_marker_are_what_the_tools_of_others_take(
    fleet: Fleet, tmp_path: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNUPGHOME", str(keyring))
    arguments = ("--systemd-key", KEY, "--pointer-expires", "10d")
    would = publish(fleet, tmp_path / "release", *arguments, "--dry-run").out
    folder = fleet.site / "systemd/stable"
    assert not folder.parent.exists()
    said = publish(fleet, tmp_path / "release", *arguments).out
    systemd = [line.replace("would write ", "") for line in would.splitlines() if line.startswith("systemd: ")]
    assert systemd == [line for line in said.splitlines() if line.startswith("systemd: ")]
    assert "systemd: would write systemd/stable/rootfs.squashfs, signed by" in would
    assert are_right(folder)
    assert is_signed(folder, keyring)
    (marker,) = folder.glob("BEST-BEFORE-*")
    assert marker.name.removeprefix("BEST-BEFORE-") == time.strftime("%Y-%m-%d", time.gmtime(time.time() + 9 * 86400))
    assert "verify=signature,blockdev:rootfs:https://SERVER:8470/systemd/stable/rootfs.squashfs root=" in said
    assert f"without {', '.join(path.name for path in (tmp_path / 'release/plugins').iterdir())}" in said
    with (folder / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  other\n")
    assert not is_signed(folder, keyring)
    publish(fleet, tmp_path / "release", *arguments)
    assert is_signed(folder, keyring)
    publish(fleet, tmp_path / "release", "--systemd", "--pointer-expires", "10d")
    assert sorted(path.name for path in folder.iterdir()) == [marker.name, "SHA256SUMS", "rootfs.squashfs"]


def test_a_server_gives_it_over_https_and_nothing_beside_it(fleet: Fleet, tmp_path: Path) -> None:
    publish(fleet, tmp_path / "release", "--systemd")
    image = (tmp_path / "release/rootfs.squashfs").read_bytes()
    (fleet.site / "systemd/stable/.hidden").write_text("no")
    with serving(fleet) as seeder:

        def fetched(path: str) -> bytes | None:
            command = (
                "curl",
                "--silent",
                "--fail",
                "--path-as-is",
                "--cacert",
                str(seeder.ca),
                f"{seeder.address}{path}",
            )
            done = subprocess.run(command, capture_output=True, check=False, timeout=BOUND_S)
            return done.stdout if done.returncode == 0 else None

        assert fetched("/systemd/stable/rootfs.squashfs") == image
        sums = fetched("/systemd/stable/SHA256SUMS")
        assert sums is not None
        assert hashlib.sha256(image).hexdigest() in sums.decode()
        marker = re.search(r"BEST-BEFORE-\S+", sums.decode())
        assert marker is not None
        assert fetched(f"/systemd/stable/{marker[0]}") == b""
        for path in ("SHA256SUMS.gpg", ".hidden", "../../channels/stable.swarm", "%2e%2e/stable"):
            assert fetched(f"/systemd/stable/{path}") is None, path
        for path in ("/systemd/stable", "/systemd/..", "/systemd/_x/SHA256SUMS", "/blobs/stable/SHA256SUMS"):
            assert fetched(path) is None, path


def test_pruning_keeps_what_a_channel_leads_systemd_to_and_drops_the_rest(fleet: Fleet, tmp_path: Path) -> None:
    publish(fleet, tmp_path / "release", "--systemd")
    first = (fleet.site / "systemd/stable").resolve()
    for seed in (2, 3):
        publish(fleet, build_release(tmp_path / str(seed), seed=seed, size_bytes=100_000))
    assert run("prune", fleet.site, "--keep", "1", "--grace", "0").status == 0
    assert are_right(first)
    publish(fleet, tmp_path / "3", "--systemd")
    assert run("prune", fleet.site, "--keep", "1", "--grace", "0").status == 0
    assert not first.exists()
    assert are_right(fleet.site / "systemd/stable")


def test_what_systemd_cannot_boot_and_a_key_that_is_not_there_are_refused_before_anything_is_written(
    fleet: Fleet, tmp_path: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNUPGHOME", str(keyring))
    before = sorted((fleet.site / "manifests").iterdir())
    other = build_release(tmp_path / "other", seed=5, size_bytes=100_000)
    line = publish(fleet, other, "--systemd-key", "nobody@here", status=KeyFileError.exit_status).line
    assert "secret key nobody@here" in line
    (other / "rootfs.squashfs").rename(other / "rootfs.cpio.gz")
    line = publish(fleet, other, "--systemd", status=ReleaseError.exit_status).line
    assert "systemd boots no root image of this kind" in line
    assert sorted((fleet.site / "manifests").iterdir()) == before
    assert not (fleet.site / "systemd").exists()
