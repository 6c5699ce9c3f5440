"""What goes wrong on the way: each fault ends in one clear line and its own exit status, or is survived."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from swarmboot.errors import (
    ArtifactError,
    ExpiredError,
    KeyFileError,
    MalformedSettingError,
    ManifestError,
    OriginError,
    PortInUseError,
    ProtocolError,
    RollbackError,
    SignatureError,
    SpaceError,
    SwarmbootError,
    ThresholdError,
    UnknownSettingError,
    UnreachableError,
)
from swarmboot.ids import Sequence
from swarmboot.release import layout, trust
from swarmboot.release import manifest as manifests
from swarmboot.release.key_files import read_private
from tests.support.loopback import (
    Fleet,
    HostileOrigin,
    asking,
    booting,
    build_fleet,
    build_release,
    hostile,
    is_arriving,
    program,
    serving,
    wait_for,
)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_release(tmp_path_factory.mktemp("fleet") / "release")


@pytest.fixture(scope="module")
def fleet(release: Path) -> Fleet:
    return build_fleet(release.parent, release)


@pytest.fixture
def broken(tmp_path: Path, fleet: Fleet) -> Fleet:
    """A copy of the fleet's site to break."""
    shutil.copytree(fleet.folder, tmp_path / "broken")
    return Fleet(tmp_path / "broken")


def check_refusal(status: int, said: str, error: type[SwarmbootError], *words: str) -> None:
    """Check that the last line said is the refusal, whole and alone."""
    lines = said.strip().splitlines()
    assert status == error.exit_status, said
    assert lines[-1].startswith("swarmboot: ")
    assert "Traceback" not in said
    for word in words:
        assert word in lines[-1]


def refused(tmp_path: Path, error: type[SwarmbootError], *arguments: str | Path, words: tuple[str, ...] = ()) -> None:
    """Run a leecher that must refuse; nothing that looks like an image may be left."""
    with booting(tmp_path, 1, *arguments) as node:
        status, said = node.end()
        check_refusal(status, said, error, *words)
        assert not node.into.exists() or not [file for file in node.into.iterdir() if file.is_file()]


def asking_hostile(origin: HostileOrigin, fleet: Fleet) -> list[str | Path]:
    """Return the arguments of a leecher that boots from a hostile origin."""
    return ["--server", origin.address, "--ca", fleet.folder / "state" / "ca.pem", "--trust", fleet.pub]


def sign_site(fleet: Fleet, *, expires_unix_s: int | None = None, crit: str = "") -> None:
    """Sign the site's manifest again with the fleet's own key, altered."""
    key = read_private(fleet.key)
    path = fleet.site / layout.manifest_path(Sequence(1))
    payload = trust.open_envelope(path.read_bytes(), trust.Kind.MANIFEST).payload
    if expires_unix_s is not None:
        from dataclasses import replace

        payload = manifests.encode(replace(manifests.decode(payload), expires_unix_s=expires_unix_s))
    if crit:
        from swarmboot.codec import pack, unpack

        payload = pack({**unpack(payload, max_bytes=1 << 20), "crit": [crit], crit: 1})
    data = trust.sign(trust.Kind.MANIFEST, payload, [key])
    path.write_bytes(data)
    channel = fleet.site / layout.channel_path("stable")
    import hashlib

    pointer = trust.encode_channel(trust.Channel("swarmboot", "stable", Sequence(1), hashlib.sha256(data).digest()))
    channel.write_bytes(trust.encode_channel_file(trust.sign(trust.Kind.CHANNEL, pointer, [key]), []))


def test_a_node_with_another_fleets_key_refuses(tmp_path: Path, fleet: Fleet) -> None:
    assert program("swarmboot", "keygen", "--out", tmp_path / "other").returncode == 0
    with serving(fleet) as seeder:
        arguments: list[str | Path] = [
            "--server",
            seeder.address,
            "--ca",
            seeder.ca,
            "--trust",
            tmp_path / "other" / "swarmboot.pub",
        ]
        refused(tmp_path, ThresholdError, *arguments, words=("not signed by enough trusted keys", "found 0"))


def test_a_node_that_demands_two_signatures_refuses_one(tmp_path: Path, fleet: Fleet) -> None:
    assert program("swarmboot", "keygen", "--out", tmp_path / "other").returncode == 0
    both = tmp_path / "both.pub"
    both.write_text("threshold 2\n" + fleet.pub.read_text() + (tmp_path / "other" / "swarmboot.pub").read_text())
    with serving(fleet) as seeder:
        arguments: list[str | Path] = ["--server", seeder.address, "--ca", seeder.ca, "--trust", both]
        refused(tmp_path, ThresholdError, *arguments, words=("expected 2 of", "found 1"))


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "no.pub"
    refused(tmp_path, KeyFileError, "--server", "https://127.0.0.1:1", "--trust", missing, words=(str(missing),))


def test_a_private_key_given_as_public_is_not_shown(tmp_path: Path, fleet: Fleet) -> None:
    refused(tmp_path, KeyFileError, "--server", "https://127.0.0.1:1", "--trust", fleet.key, words=("a private key",))


def test_an_altered_manifest_is_refused(tmp_path: Path, broken: Fleet) -> None:
    path = broken.site / layout.manifest_path(Sequence(1))
    data = bytearray(path.read_bytes())
    data[data.index(b"rootfs")] ^= 1
    path.write_bytes(bytes(data))
    with serving(broken) as seeder:
        refused(tmp_path, SignatureError, *asking(seeder, broken), words=("not over these bytes",))


def test_a_manifest_that_needs_a_newer_version_is_refused(tmp_path: Path, broken: Fleet) -> None:
    sign_site(broken, crit="teleport")
    with serving(broken) as seeder:
        refused(tmp_path, ManifestError, *asking(seeder, broken), words=("teleport",))


def test_an_expired_manifest_is_refused(tmp_path: Path, broken: Fleet) -> None:
    sign_site(broken, expires_unix_s=1_760_000_000)
    with serving(broken) as seeder:
        refused(tmp_path, ExpiredError, *asking(seeder, broken), words=("hours ago", "publish"))


def test_a_manifest_below_the_floor_is_refused(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        refused(
            tmp_path, RollbackError, *asking(seeder, fleet), "--floor", "2", words=("sequence 2 or later", "found 1")
        )


def test_a_manifest_larger_than_its_bound_is_not_read(tmp_path: Path, broken: Fleet) -> None:
    (broken.site / layout.manifest_path(Sequence(1))).write_bytes(bytes(trust.ENVELOPE_MAX_BYTES + 1))
    with serving(broken) as seeder:
        arguments: list[str | Path] = [*asking(seeder, broken), "--timeout", "3s"]
        refused(tmp_path, ProtocolError, *arguments, words=("sends too much", "at most"))


def test_a_site_with_a_missing_blob_is_named(tmp_path: Path, broken: Fleet) -> None:
    for blob in (broken.site / "blobs").iterdir():
        blob.unlink()
    with serving(broken) as seeder, booting(tmp_path, 1, *asking(seeder, broken), "--timeout", "4s") as node:
        status, said = node.end()
        assert status == OriginError.exit_status
        assert "found 404" in said


def test_an_altered_blob_ends_the_boot(tmp_path: Path, broken: Fleet) -> None:
    for blob in (broken.site / "blobs").iterdir():
        blob.write_bytes(bytes(blob.stat().st_size))
    with serving(broken) as seeder:
        refused(tmp_path, ArtifactError, *asking(seeder, broken), words=("other bytes", "swarmboot verify"))


def test_a_torrent_that_is_not_the_signed_one_is_refused(tmp_path: Path, broken: Fleet) -> None:
    torrents = sorted((broken.site / "torrents").iterdir())
    first, second = (torrent.read_bytes() for torrent in torrents)
    torrents[0].write_bytes(second)
    torrents[1].write_bytes(first)
    with serving(broken) as seeder:
        refused(tmp_path, ManifestError, *asking(seeder, broken), words=("not the one that was signed",))


def test_a_server_that_is_down_is_named_and_retried(tmp_path: Path, fleet: Fleet) -> None:
    arguments: list[str | Path] = ["--server", "https://127.0.0.1:9", "--trust", fleet.pub, "--timeout", "3s"]
    refused(tmp_path, UnreachableError, *arguments, words=("https://127.0.0.1:9", "cannot be reached"))


def test_a_server_whose_certificate_is_not_ours_is_refused(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        arguments: list[str | Path] = ["--server", seeder.address, "--trust", fleet.pub, "--timeout", "3s"]
        refused(tmp_path, UnreachableError, *arguments, words=("certificate", "--ca"))


def test_a_server_that_comes_back_is_used(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        port, ca = seeder.address.rpartition(":")[2], seeder.ca
    arguments: list[str | Path] = [
        "--server",
        f"https://127.0.0.1:{port}",
        "--ca",
        ca,
        "--trust",
        fleet.pub,
        "--timeout",
        "60s",
    ]
    with booting(tmp_path, 1, *arguments) as node:
        assert node.process.stderr is not None
        assert "cannot be reached" in node.process.stderr.readline()
        with serving(fleet, "--listen", f"127.0.0.1:{port}"):
            assert node.end()[0] == 0


@pytest.mark.parametrize("fault", ["404", "416", "500", "resets", "too short", "another range", "ignores range"])
def test_an_origin_that_misbehaves_for_a_while_is_survived(tmp_path: Path, fleet: Fleet, fault: str) -> None:
    with hostile(fleet, fault, times=3) as origin:
        arguments: list[str | Path] = [
            "--server",
            origin.address,
            "--ca",
            fleet.folder / "state" / "ca.pem",
            "--trust",
            fleet.pub,
        ]
        with booting(tmp_path, 1, *arguments, "--timeout", "60s") as node:
            status, said = node.end()
            assert status == 0, said
            assert "; trying again" in said


@pytest.mark.parametrize(
    ("fault", "error"), [("404", OriginError), ("too short", ProtocolError), ("ignores range", OriginError)]
)
def test_an_origin_that_always_misbehaves_is_named_at_the_end(
    tmp_path: Path, fleet: Fleet, fault: str, error: type[SwarmbootError]
) -> None:
    with hostile(fleet, fault) as origin:
        arguments: list[str | Path] = [
            "--server",
            origin.address,
            "--ca",
            fleet.folder / "state" / "ca.pem",
            "--trust",
            fleet.pub,
        ]
        refused(tmp_path, error, *arguments, "--timeout", "5s", words=(origin.address,))


def test_an_origin_that_sends_other_bytes_ends_the_boot(tmp_path: Path, fleet: Fleet) -> None:
    with hostile(fleet, "altered") as origin:
        arguments: list[str | Path] = [
            "--server",
            origin.address,
            "--ca",
            fleet.folder / "state" / "ca.pem",
            "--trust",
            fleet.pub,
        ]
        refused(tmp_path, ArtifactError, *arguments, "--timeout", "60s", words=("other bytes",))


def test_a_silent_origin_is_left(tmp_path: Path, fleet: Fleet) -> None:
    with hostile(fleet, "silent", times=2) as origin:
        arguments: list[str | Path] = [
            "--server",
            origin.address,
            "--ca",
            fleet.folder / "state" / "ca.pem",
            "--trust",
            fleet.pub,
        ]
        with booting(tmp_path, 1, *arguments, "--timeout", "60s") as node:
            status, said = node.end()
            assert status == 0, said
            assert "sends too little; fetching elsewhere" in said


def test_a_neighbour_that_sends_corrupt_blocks_is_banned_and_the_boot_goes_on(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--neighbour") as bad:
        bad.report()
        with (bad.into / "rootfs.squashfs").open("r+b") as image:
            image.write(os.urandom(3_000_000))
        with booting(tmp_path, 2, *asking(seeder, fleet)) as node:
            status, said = node.end()
            assert status == 0, said
            assert "sent corrupt blocks" in said
            assert node.report()["hash_failures"] > 0
            assert node.report()["bytes_from"]["origin"] > 0


def test_a_neighbour_that_dies_in_mid_transfer_is_survived(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--neighbour", "--up", "8mbit") as bad:
        bad.report()
        with booting(tmp_path, 2, *asking(seeder, fleet)) as node:
            wait_for(lambda: is_arriving(node.into) or None, node.process)
            bad.process.kill()
            assert node.end()[0] == 0


def test_a_seeder_that_dies_in_mid_boot_leaves_a_warm_rack_enough(tmp_path: Path, fleet: Fleet) -> None:
    with (
        serving(fleet) as seeder,
        booting(tmp_path, 1, *asking(seeder, fleet), "--neighbour", "--up", "16mbit") as warm,
    ):
        warm.report()
        with booting(tmp_path, 2, *asking(seeder, fleet)) as node:
            wait_for(lambda: is_arriving(node.into) or None, node.process)
            seeder.process.kill()
            assert node.end()[0] == 0


def test_an_unknown_kernel_argument_is_named(tmp_path: Path) -> None:
    refused(tmp_path, UnknownSettingError, "--cmdline", "swarmboot.sever=x", words=("swarmboot.sever", "spelling"))


def test_a_malformed_setting_is_named_with_an_example(tmp_path: Path) -> None:
    words = ("swarmboot.timeout", "'soon'", "for example")
    refused(tmp_path, MalformedSettingError, "--timeout", "soon", words=words)


def test_a_node_with_nobody_to_ask_says_so(tmp_path: Path, fleet: Fleet) -> None:
    refused(tmp_path, MalformedSettingError, "--trust", fleet.pub, "--discovery", "off", words=("nobody to ask",))


@pytest.mark.parametrize("words", [["--discovery", "off"], ["--no-discovery"], ["--discovery=no"]])
def test_discovery_is_turned_off_either_way_for_people_too(fleet: Fleet, tmp_path: Path, words: list[str]) -> None:
    done = program("swarmboot", "fetch", "--trust", fleet.pub, "--into", tmp_path / "x", *words)
    check_refusal(done.returncode, done.stderr, MalformedSettingError, "nobody to ask")


def test_a_profile_that_is_not_there_is_named(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        words = ("no profile", "'gpu'")
        refused(tmp_path, MalformedSettingError, *asking(seeder, fleet), "--profile", "gpu", words=words)


def test_too_little_room_is_told_before_the_download(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        words = ("1023.0 TiB to spare", "found")
        refused(tmp_path, SpaceError, *asking(seeder, fleet), "--reserve", "1023TiB", words=words)


@pytest.fixture
def small_tmpfs(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "node1"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
def test_a_tmpfs_too_small_for_the_images_is_told_before_the_download(
    tmp_path: Path, fleet: Fleet, small_tmpfs: Path
) -> None:
    with serving(fleet) as seeder:
        refused(tmp_path, SpaceError, *asking(seeder, fleet), words=("tmpfs", "too small", "1.0 MiB"))


@pytest.mark.root
def test_a_tmpfs_that_fills_up_during_the_download_ends_the_boot(
    tmp_path: Path, fleet: Fleet, small_tmpfs: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,size=5m", str(small_tmpfs)], check=True)
    with serving(fleet, "--uplink", "1mbit") as seeder, booting(tmp_path, 1, *asking(seeder, fleet)) as node:
        wait_for(lambda: is_arriving(small_tmpfs) or None, node.process)
        with suppress(OSError), (small_tmpfs / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(65536)):
                pass
        status, said = node.end()
        check_refusal(status, said, SpaceError, "written")


def test_a_port_in_use_is_named_by_the_seeder(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = program("swarmboot", "serve", fleet.site, "--listen", f"127.0.0.1:{port}", "--state", fleet.folder / "s")
        check_refusal(done.returncode, done.stderr, PortInUseError, str(port), "taken", "--listen")


def test_a_port_in_use_is_named_by_the_leecher(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, socket.create_server(("127.0.0.2", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(tmp_path, PortInUseError, *asking(seeder, fleet), "--port", port, words=("cannot listen",))


def test_something_that_is_no_site_is_not_served(tmp_path: Path) -> None:
    done = program("swarmboot", "serve", tmp_path)
    assert done.returncode == 56
    assert "not a published site" in done.stderr


def test_a_certificate_without_its_key_is_refused(fleet: Fleet) -> None:
    done = program("swarmboot", "serve", fleet.site, "--tls-cert", fleet.pub)
    check_refusal(done.returncode, done.stderr, MalformedSettingError, "--tls-key")


def test_ctrl_c_stops_the_seeder_cleanly(fleet: Fleet) -> None:
    import signal

    with serving(fleet) as seeder:
        seeder.process.send_signal(signal.SIGINT)
        assert seeder.process.wait(timeout=20) == 0, "\n".join(seeder.lines)
    assert "Traceback" not in "\n".join(seeder.lines)


def test_malformed_announces_are_refused_and_harm_nobody(tmp_path: Path, fleet: Fleet) -> None:
    import ssl
    import urllib.error
    import urllib.request

    with serving(fleet) as seeder:
        context = ssl.create_default_context(cafile=str(seeder.ca))
        for body in (b"", b"\xc1", b"\x80", os.urandom(300), bytes(2_000_000)):
            request = urllib.request.Request(f"{seeder.address}/announce", data=body, method="POST")
            with pytest.raises(urllib.error.HTTPError) as refusal:
                urllib.request.urlopen(request, context=context, timeout=20)
            assert refusal.value.code in (400, 413)
            refusal.value.close()
        with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
            assert node.end()[0] == 0


def test_the_seeder_serves_nothing_but_the_site(fleet: Fleet) -> None:
    import ssl
    import urllib.error
    import urllib.request

    with serving(fleet) as seeder:
        context = ssl.create_default_context(cafile=str(seeder.ca))
        for path in (
            "/blobs/..%2f..%2fkeys%2fswarmboot.key",
            "/.lock",
            "/blobs/",
            "/channels/../../keys/swarmboot.key",
        ):
            with pytest.raises(urllib.error.HTTPError) as refusal:
                urllib.request.urlopen(f"{seeder.address}{path}", context=context, timeout=20)
            assert refusal.value.code == 404
            refusal.value.close()


def test_the_leecher_runs_without_the_seeders_libraries(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import leecher.__main__, sys; print('starlette' in sys.modules, 'rich' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]
