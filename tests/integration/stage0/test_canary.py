"""A canary on loopback: a real seeder, scripts and images as firmware fetches them, and a node that boots."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from swarmboot.errors import MalformedSettingError, ReleaseError, SiteError, ThresholdError
from tests.integration.stage0.test_strangers import get, images_in, stage0_address
from tests.support.commands import Done, run
from tests.support.loopback import Fleet, Seeder, asking, booting, build_fleet, build_release, serving, status
from tests.support.waiting import wait_until

CANARY, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
HOST = "127.0.0.2"


class Rack:
    """A site with another release, root, kernel and initramfs, in the channel `edge`."""

    def __init__(self, work: Path) -> None:
        self.stable, self.edge, self.fleet = work / "stable", work / "edge", Fleet(work / "fleet")

    def __call__(self, verb: str, *arguments: object, status: int = 0) -> Done:
        command, _, more = verb.partition(" ")
        signs = () if more in ("clear", "show") or command in ("releases", "verify") else ("--key", self.fleet.key)
        done = run(command, *more.split(), self.fleet.site, *arguments, *signs)
        assert done.status == status, done.err
        return done


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("published")
    fleet = build_fleet(work / "fleet", build_release(work / "stable", size_bytes=300_000, stage0_bytes=20_000))
    edge = build_release(work / "edge", size_bytes=300_000, seed=2, stage0_bytes=30_000)
    fleet.publish(edge, "--channel", "edge")
    return work


@pytest.fixture
def rack(published: Path, tmp_path: Path) -> Rack:
    shutil.copytree(published, tmp_path / "rack")
    return Rack(tmp_path / "rack")


def script(seeder: Seeder, mac: str, *, name: str = "boot.ipxe") -> str:
    return get(stage0_address(seeder), f"/{name}?mac={mac}", source=HOST).decode()


def channel_of(seeder: Seeder, mac: str) -> str:
    """Return the channel that a machine is told, empty if none."""
    found = re.search(r"swarmboot\.channel=(\S+)", script(seeder, mac))
    return found[1] if found else ""


def loaded(seeder: Seeder, mac: str) -> list[bytes]:
    """Return what a machine loads by its script: kernel and initramfs."""
    return [get(stage0_address(seeder), path, source=HOST) for path in images_in(script(seeder, mac))]


def stage0_of(release: Path) -> list[bytes]:
    return [(release / name).read_bytes() for name in ("vmlinuz", "initramfs.img")]


def test_a_canary_loads_another_kernel_and_initramfs_and_the_rest_does_not(rack: Rack, tmp_path: Path) -> None:
    (tmp_path / "racks").write_text(f"{CANARY} r1\n{OTHER} r2\n")
    rack("canary set", "edge", "--mac", "02:*", "--rack", "r1")
    blobs = sorted((rack.fleet.site / "blobs").iterdir())
    with serving(rack.fleet, "--pxe-listen", "127.0.0.1:0", "--racks", str(tmp_path / "racks")) as seeder:
        seeder.wait_for_line("canary: channel edge in place of stable for rack r1, 02:*")
        assert channel_of(seeder, "02:00:00:00:00:01") == "edge"
        assert sorted(loaded(seeder, CANARY)) == sorted(stage0_of(rack.edge))
        assert sorted(loaded(seeder, OTHER)) == sorted(stage0_of(rack.stable))
        assert (channel_of(seeder, CANARY), channel_of(seeder, OTHER)) == ("edge", "")
        assert "swarmboot.channel=edge" in script(seeder, CANARY, name="grub.cfg")
        with booting(tmp_path, 1, *asking(seeder, rack.fleet), "--channel", "edge", "--seed", "off") as node:
            assert node.report()["sequence"] == 2
            assert node.digests() == rack.fleet.digests(rack.edge)
    assert sorted((rack.fleet.site / "blobs").iterdir()) == blobs


def test_a_running_server_follows_a_canary_that_is_set_promoted_and_cleared(rack: Rack) -> None:
    def canary(seeder: Seeder) -> Any:
        return status(seeder)["stage0"]["canary"]

    with serving(rack.fleet, "--pxe-listen", "127.0.0.1:0") as seeder:
        assert channel_of(seeder, CANARY) == ""
        rack("canary set", "edge", "--share", "100%")
        wait_until("a canary", lambda: canary(seeder), process=seeder.process)
        assert canary(seeder)["manifest"] == 2
        assert channel_of(seeder, CANARY) == "edge"
        assert (canary(seeder)["loading"], status(seeder)["stage0"]["loading"]) == (1, 2)  # it has a turn of each
        rack("canary clear")
        wait_until("no canary", lambda: canary(seeder) is None, process=seeder.process)
        assert (channel_of(seeder, CANARY), loaded(seeder, CANARY)[0] in stage0_of(rack.stable)) == ("", True)
        rack("canary set", "edge", "--share", "100%")
        wait_until("a canary", lambda: canary(seeder), process=seeder.process)
        assert "the canary (100 % of the machines) is over" in rack("promote", "edge", "stable").out
        wait_until("no canary", lambda: canary(seeder) is None, process=seeder.process)
        assert (channel_of(seeder, CANARY), loaded(seeder, CANARY)[0] in stage0_of(rack.edge)) == ("", True)


def test_what_became_of_a_canary_is_told_beside_the_others(rack: Rack, tmp_path: Path) -> None:
    rack("canary set", "edge", "--mac", CANARY)
    with serving(rack.fleet, "--pxe-listen", "127.0.0.1:0") as seeder:
        for mac in (CANARY, OTHER):
            loaded(seeder, mac)
        loaded(seeder, CANARY)  # it was reset: its first kernel was never heard of again
        with booting(tmp_path, 1, *asking(seeder, rack.fleet)) as node:
            node.report()
            state = ("--state", rack.fleet.folder / "state", "--json")

            def boots() -> Any:
                return rack("canary show", *state).value["boots"]

            wait_until("a failed boot of the canary", lambda: boots()["edge"]["failed"] == 1, process=seeder.process)
            wait_until("a node that is up", lambda: boots()["stable"]["up"] == 1, process=seeder.process)
            assert boots()["edge"]["failed_share"] == 1.0
            assert boots()["stable"]["failed"] == 0
            assert "canary: 52:54:00:00:00:01" in rack("releases", *state[:2]).out
            said = run("status", *state[:2]).out
            assert re.search(r"canary edge \(52:54:00:00:00:01\): .*the others: ", said), said


def test_what_cannot_be_a_canary_is_refused_and_changes_nothing(rack: Rack, tmp_path: Path) -> None:
    rack.fleet.publish(build_release(tmp_path / "bare", seed=3, size_bytes=50_000), "--channel", "bare")
    refused: list[tuple[tuple[object, ...], int, str]] = [
        (("stable", "--share", "5%"), ReleaseError.exit_status, "no canary of itself"),
        (("bare", "--share", "5%"), ReleaseError.exit_status, "expected a kernel and an initramfs"),
        (("egde", "--share", "5%"), SiteError.exit_status, "did you mean edge?"),
        (("edge",), MalformedSettingError.exit_status, "the canary is for nobody"),
        (("edge", "--share", "0%"), MalformedSettingError.exit_status, "as in 5%"),
        (("edge", "--share", "5"), MalformedSettingError.exit_status, "as in 5%"),
        (("edge", "--mac", "52:54:zz:*"), MalformedSettingError.exit_status, "--mac is malformed"),
        (("edge", "--rack", "r 1"), MalformedSettingError.exit_status, "--rack is malformed"),
    ]
    for arguments, exit_status, words in refused:
        assert words in rack("canary set", *arguments, status=exit_status).line
    assert run("keygen", "--out", tmp_path / "other").status == 0
    other = ("--key", tmp_path / "other/swarmboot.key")
    done = run("canary", "set", rack.fleet.site, "edge", "--share", "5%", *other)
    assert done.status == ThresholdError.exit_status, done.err
    assert not any((rack.fleet.site / "canaries").iterdir())
    assert "there is no canary" in rack("canary show").out
    rack("canary set", "edge", "--share", "5%")
    assert "nothing changed" in rack("canary set", "edge", "--share", "5.0%").out


def test_a_canary_that_was_altered_is_named_and_passed_over(rack: Rack) -> None:
    rack("canary set", "edge", "--share", "100%")
    path = rack.fleet.site / "canaries/stable.swarm"
    trust = ("--trust", rack.fleet.pub)
    rack("verify", *trust)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"edge", b"next"))
    assert "canary's signature" in rack("verify", *trust, status=11).line
    with serving(rack.fleet, "--pxe-listen", "127.0.0.1:0") as seeder:
        seeder.wait_for_line("canary is passed over: channel next points to nothing")
        assert channel_of(seeder, CANARY) == ""
        path.write_bytes(b"noise")
        seeder.wait_for_line("canary cannot be read")
        assert channel_of(seeder, CANARY) == ""


def test_a_rotation_signs_the_canary_anew(rack: Rack, tmp_path: Path) -> None:
    assert run("keygen", "--out", tmp_path / "new").status == 0
    rack("canary set", "edge", "--share", "100%")
    new = ("--new-trust", tmp_path / "new/swarmboot.pub", "--key", tmp_path / "new/swarmboot.key")
    rack("rotate", "--trust", rack.fleet.pub, *new)
    rack("verify", "--trust", tmp_path / "new/swarmboot.pub")
    assert "edge in place of stable" in rack("canary show").out
