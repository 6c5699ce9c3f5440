"""`swarmboot pull`: a real site from a real seeder, over HTTPS, and what happens when something is in the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from seeder.pull.client import Remote
from swarmboot import errors
from swarmboot.release import layout
from swarmboot.release.chunks import MAX_CHUNK_BYTES
from tests.support.commands import run
from tests.support.loopback import (
    Fleet,
    HostileOrigin,
    Seeder,
    asking,
    booting,
    build_fleet,
    build_release,
    hostile,
    serving,
    status,
)
from tests.support.waiting import wait_until

SIZE_BYTES = 6_000_000


def change(release: Path, *, at: int = 2_000_000, seed: int = 9) -> None:
    """Put a thousand bytes into the root image, and take some others out: all behind them is shifted."""
    root = release / "rootfs.squashfs"
    old = root.read_bytes()
    root.write_bytes(old[:at] + Random(seed).randbytes(1000) + old[at + 300 :])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a release, keys and a site."""
    folder = tmp_path_factory.mktemp("published")
    build_fleet(folder, build_release(folder / "release", size_bytes=SIZE_BYTES))
    return folder


@pytest.fixture
def fleet(published: Path, tmp_path: Path) -> Fleet:
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)
    return Fleet(tmp_path)


@pytest.fixture
def here(fleet: Fleet, tmp_path: Path) -> Path:
    """Return a site that has what the fleet's has, as an earlier pull has left it."""
    shutil.copytree(fleet.site, tmp_path / "here")
    return tmp_path / "here"


def publish(fleet: Fleet, *arguments: str) -> None:
    release = fleet.folder / "release"
    done = run("publish", "--force", release, "--site", fleet.site, "--key", fleet.key, *arguments)
    assert done.status == 0, done.err


def command(server: Seeder | HostileOrigin, fleet: Fleet, site: Path, *arguments: str | Path) -> list[str | Path]:
    return ["pull", server.address, site, "--ca", server.ca, "--trust", fleet.pub, *arguments]


def pulled(server: Seeder | HostileOrigin, fleet: Fleet, site: Path, *arguments: str | Path) -> dict[str, Any]:
    """Pull, and return the facts."""
    done = run(*command(server, fleet, site, "--json", *arguments))
    assert done.status == 0, done.err
    value: dict[str, Any] = done.value
    return value


def refused(server: Seeder | HostileOrigin, fleet: Fleet, site: Path, *arguments: str | Path) -> tuple[int, str]:
    """Pull, and return the exit status and the one line that was said."""
    done = run(*command(server, fleet, site, "--json", *arguments))
    assert done.out == ""
    (said,) = [line for line in done.err.splitlines() if line.startswith("swarmboot: ")]
    return done.status, said


def is_right(fleet: Fleet, site: Path) -> bool:
    return run("verify", site, "--trust", fleet.pub).status == 0


def files(site: Path) -> dict[str, bytes]:
    """Return what of a site is served."""
    folders = ("blobs", "torrents", "manifests", "channels", "keys", "secrets")
    return {str(p.relative_to(site)): p.read_bytes() for f in folders for p in (site / f).glob("*")}


def test_a_pulled_site_is_the_other_one_and_a_second_pull_has_nothing_to_do(fleet: Fleet, tmp_path: Path) -> None:
    publish(fleet, "--channel", "edge")
    with serving(fleet) as seeder:
        first = pulled(seeder, fleet, tmp_path / "here")
        assert first["is_new"]
        assert [each["channel"] for each in first["channels"]] == ["edge", "stable"]
        sent_bytes = status(seeder)["sent_bytes"]
        again = run(*command(seeder, fleet, tmp_path / "here"))
        assert "nothing to do" in again.out
        assert status(seeder)["sent_bytes"] - sent_bytes < 10_000
    here = files(tmp_path / "here")
    assert here == {path: data for path, data in files(fleet.site).items() if path != "manifests/1.swarm"} | {
        path: data for path, data in here.items() if path == "manifests/1.swarm"
    }
    assert is_right(fleet, tmp_path / "here")
    assert not list((tmp_path / "here/.pulling").iterdir())


def test_of_a_new_release_only_what_the_old_one_lacks_goes_over_the_wire(fleet: Fleet, here: Path) -> None:
    change(fleet.folder / "release")
    publish(fleet)
    with serving(fleet) as seeder:
        found = pulled(seeder, fleet, here)
        sent_bytes = status(seeder)["sent_bytes"]
    (root,) = found["images"]
    assert root["copied_bytes"] + root["fetched_bytes"] == root["size_bytes"]
    assert root["fetched_bytes"] <= 3 * MAX_CHUNK_BYTES
    assert sent_bytes < 0.25 * SIZE_BYTES
    assert found["channels"][0]["was"] == 1
    assert is_right(fleet, here)


def test_an_old_image_that_is_corrupt_costs_its_bytes_and_nothing_else(fleet: Fleet, here: Path) -> None:
    old = max((here / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(old.read_bytes())
    data[4_000_000:4_000_100] = bytes(100)
    old.write_bytes(data[:5_900_000])
    change(fleet.folder / "release")
    publish(fleet)
    with serving(fleet) as seeder:
        found = pulled(seeder, fleet, here)
    assert found["images"][0]["fetched_bytes"] < 0.25 * SIZE_BYTES
    assert is_right(fleet, here)


def test_a_pull_that_is_stopped_shows_nothing_and_goes_on_where_it_was(fleet: Fleet, tmp_path: Path) -> None:
    site = tmp_path / "here"
    with serving(fleet, "--uplink", "8mbit") as seeder:
        arguments = command(seeder, fleet, site)
        process = subprocess.Popen(
            [sys.executable, "-m", "swarmboot", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        partial = site / ".pulling"

        def has_some() -> bool:
            return any(path.stat().st_blocks * 512 > SIZE_BYTES / 3 for path in partial.glob("*"))

        wait_until("a third of the image", has_some, process=process)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1].splitlines()[-1] == "swarmboot: stopped"
        assert process.returncode == 130
        assert not list((site / "channels").glob("*"))
        found = pulled(seeder, fleet, site)
    root = next(image for image in found["images"] if image["name"] == "rootfs.squashfs")
    assert root["kept_bytes"] > SIZE_BYTES / 5
    assert root["kept_bytes"] + root["fetched_bytes"] == root["size_bytes"]
    assert is_right(fleet, site)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("altered", errors.ArtifactError),
        ("404", errors.OriginError),
        ("500", errors.OriginError),
        ("another range", errors.ProtocolError),
        ("ignores range", errors.OriginError),
        ("impossible range", errors.ProtocolError),
        ("resets", errors.ProtocolError),
    ],
)
def test_a_seeder_that_lies_is_told_by_its_status_and_nothing_is_believed(
    fleet: Fleet, here: Path, fault: str, expected: type[errors.SwarmbootError]
) -> None:
    """The new image is too small for a list of its chunks, so the first blob that is asked for is the image."""
    before = files(here)
    (fleet.folder / "release/rootfs.squashfs").write_bytes(b"hsqs" + Random(4).randbytes(900_000))
    publish(fleet)
    with hostile(fleet, fault) as liar:
        code, said = refused(liar, fleet, here)
    assert code == expected.exit_status, said
    assert {path: data for path, data in files(here).items() if path in before} == before
    assert is_right(fleet, here)


def test_a_list_of_chunks_that_was_altered_is_refused_and_then_brought(fleet: Fleet, here: Path) -> None:
    change(fleet.folder / "release")
    publish(fleet)
    with hostile(fleet, "altered", times=1) as liar:
        code, said = refused(liar, fleet, here)
        assert code == errors.ArtifactError.exit_status
        assert "the list of rootfs.squashfs's chunks, holds other bytes than were signed" in said
        assert pulled(liar, fleet, here)["copied_bytes"] > 0.75 * SIZE_BYTES
    assert is_right(fleet, here)


def test_a_part_that_was_altered_once_is_fetched_again(fleet: Fleet, here: Path) -> None:
    (fleet.folder / "release/rootfs.squashfs").write_bytes(b"hsqs" + Random(4).randbytes(900_000))
    publish(fleet)
    with hostile(fleet, "altered", times=1) as liar:
        assert pulled(liar, fleet, here)["images"][0]["fetched_bytes"] >= 1_800_000
    assert is_right(fleet, here)


def test_a_connection_that_breaks_a_few_times_costs_no_pull(fleet: Fleet, tmp_path: Path) -> None:
    with hostile(fleet, "too short", times=3) as origin:
        found = pulled(origin, fleet, tmp_path / "here")
    assert found["is_new"]
    assert any("only stable is pulled" in note for note in found["notes"])


def test_an_older_release_than_the_one_here_is_refused(fleet: Fleet, here: Path) -> None:
    old = fleet.folder / "old"
    fleet.site.rename(old)
    shutil.copytree(old, fleet.site)
    change(fleet.folder / "release")
    publish(fleet)
    shutil.rmtree(here)
    fleet.site.rename(here)
    old.rename(fleet.site)
    before = files(here)
    with hostile(fleet, "none", times=0) as server:
        code, said = refused(server, fleet, here)
    assert code == errors.RollbackError.exit_status
    assert "expected manifest 2 or later, found manifest 1" in said
    assert files(here) == before


def test_another_manifest_of_the_same_number_is_refused(fleet: Fleet, here: Path) -> None:
    shutil.rmtree(fleet.site)
    change(fleet.folder / "release")
    publish(fleet)
    with hostile(fleet, "none", times=0) as server:
        code, said = refused(server, fleet, here)
    assert code == errors.RollbackError.exit_status
    assert "another manifest 1 than is promised" in said


def test_what_other_keys_have_signed_is_refused_before_anything_is_written(fleet: Fleet, tmp_path: Path) -> None:
    assert run("keygen", "--out", tmp_path / "others").status == 0
    with hostile(fleet, "none", times=0) as server:
        done = run(
            "pull", server.address, tmp_path / "here", "--ca", server.ca, "--trust", tmp_path / "others/swarmboot.pub"
        )
        code, said = refused(server, fleet, tmp_path / "here", "--channel", "edge")
    assert done.status == errors.ThresholdError.exit_status
    assert code == errors.OriginError.exit_status
    assert not (tmp_path / "here").exists(), said


def test_a_server_that_is_not_there_or_not_trusted_is_named(fleet: Fleet, tmp_path: Path) -> None:
    done = run("pull", "https://127.0.0.1:1", tmp_path / "here", "--trust", fleet.pub)
    assert done.status == errors.UnreachableError.exit_status
    with hostile(fleet, "none", times=0) as server:
        done = run("pull", server.address, tmp_path / "here", "--trust", fleet.pub)
    assert done.status == errors.UnreachableError.exit_status
    assert "give --ca with the server's ca.pem" in done.line


def test_a_rotation_is_followed_and_kept(fleet: Fleet, here: Path) -> None:
    new = fleet.folder / "new"
    assert run("keygen", "--out", new).status == 0
    done = run(
        "rotate", fleet.site, "--trust", fleet.pub, "--new-trust", new / "swarmboot.pub",
        "--key", fleet.key, "--key", new / "swarmboot.key",
    )  # fmt: skip
    assert done.status == 0, done.err
    with hostile(fleet, "none", times=0) as server:
        assert pulled(server, fleet, here)["fetched_bytes"] < 100_000
    assert layout.rotations(here) == layout.rotations(fleet.site)
    assert is_right(fleet, here)


def test_sealed_settings_come_with_the_token_alone(fleet: Fleet, tmp_path: Path) -> None:
    token = fleet.folder / "keys/fleet.token"
    assert run("keygen", "--fleet-token", token).status == 0
    (tmp_path / "release/env").mkdir()
    (tmp_path / "release/env/a.secret.env").write_text("PASSWORD=correct-horse\n")
    publish(fleet, "--fleet-token", str(token))
    with serving(fleet, "--fleet-token", str(token)) as seeder:
        without = pulled(seeder, fleet, tmp_path / "here")
        assert any("secret settings stay behind" in note for note in without["notes"])
        looked = run("verify", tmp_path / "here", "--trust", fleet.pub)
        assert (looked.status, "pull it with --fleet-token" in looked.err) == (31, True)
        assert pulled(seeder, fleet, tmp_path / "here", "--fleet-token", token)["is_new"]
    assert files(tmp_path / "here") == {
        path: data for path, data in files(fleet.site).items() if path != "manifests/1.swarm"
    }
    assert is_right(fleet, tmp_path / "here")


def test_a_pulled_site_serves_a_node(fleet: Fleet, tmp_path: Path) -> None:
    other = Fleet(tmp_path / "other")
    other.folder.mkdir()
    with hostile(fleet, "none", times=0) as server:
        pulled(server, fleet, other.site)
    (other.folder / "keys").symlink_to(fleet.folder / "keys")
    with serving(other) as second, booting(tmp_path, 1, *asking(second, other)) as node:
        assert node.report()["outcome"] == "images verified"
        assert node.digests().items() >= fleet.digests(tmp_path / "release").items()


def test_what_a_stopped_pull_has_left_of_a_release_that_is_overtaken_goes_with_the_next(
    fleet: Fleet, here: Path
) -> None:
    (here / ".pulling").mkdir()
    (here / ".pulling" / ("ab" * 32)).write_bytes(b"half of something")
    with hostile(fleet, "none", times=0) as server:
        pulled(server, fleet, here)
    assert not list((here / ".pulling").iterdir())


def test_a_release_that_a_channel_leaves_is_spared_by_prune_for_nodes_that_boot_it(fleet: Fleet, here: Path) -> None:
    os.utime(here / "manifests/1.swarm", (1e9, 1e9))
    change(fleet.folder / "release")
    publish(fleet)
    with hostile(fleet, "none", times=0) as server:
        pulled(server, fleet, here)
    assert run("prune", here, "--keep", "1", "--json").value["spared"] == [1]


@pytest.mark.parametrize("said", ["no JSON", "[]", '{"channels": 7}', '{"channels": ["../../etc"]}', "[" * 9999])
def test_a_server_that_names_no_channels_rightly_is_asked_for_the_usual_one(
    fleet: Fleet, tmp_path: Path, said: str
) -> None:
    site = tmp_path / "odd"
    shutil.copytree(fleet.site, site)
    (site / "channels").rename(site / "pointers")
    (site / "channels").write_text(said)
    with hostile(fleet, "none", times=0) as server, closing(Remote(server.address, ca=server.ca)) as remote:
        server.site = site
        assert remote.channels() == ()
