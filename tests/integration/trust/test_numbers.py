"""Numbers and fleets, with the real publisher, seeder and leecher: what stolen keys may use up comes back."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from swarmboot import errors
from swarmboot.ids import MAX_SEQUENCE, Sequence
from swarmboot.release import key_files, layout, manifest, trust
from tests.support.builders import build_bytes
from tests.support.commands import run
from tests.support.loopback import Fleet, asking, booting, build_fleet, build_release, program, serving


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return build_fleet(tmp_path, build_release(tmp_path / "release", size_bytes=200_000, plugins=0))


def fast_forward(fleet: Fleet, number: int = MAX_SEQUENCE) -> None:
    """Publish the newest release once more as a thief of the key would: under a number far ahead."""
    keys = [key_files.read_private(fleet.key)]
    payload = trust.open_envelope((fleet.site / "manifests/1.swarm").read_bytes(), trust.Kind.MANIFEST).payload
    forged = replace(manifest.decode(payload), sequence=Sequence(number))
    signed = trust.sign(trust.Kind.MANIFEST, manifest.encode(forged), keys)
    pointer = trust.Channel(forged.fleet, "stable", Sequence(number), hashlib.sha256(signed).digest())
    signed_pointer = trust.sign(trust.Kind.CHANNEL, trust.encode_channel(pointer), keys)
    (fleet.site / layout.manifest_path(Sequence(number))).write_bytes(signed)
    (fleet.site / "channels/stable.swarm").write_bytes(trust.encode_channel_file(signed_pointer, []))


def boots(folder: Path, fleet: Fleet, *arguments: str | Path) -> tuple[int, str]:
    """Boot one real leecher from a real seeder of this fleet; return its status and what it said."""
    with serving(fleet) as seeder, booting(folder, 1, *asking(seeder, fleet), *arguments) as node:
        return node.end()


def test_the_highest_number_is_served_and_booted(tmp_path: Path, fleet: Fleet) -> None:
    fast_forward(fleet)
    assert boots(tmp_path, fleet)[0] == 0
    assert boots(tmp_path, fleet, "--floor", str(MAX_SEQUENCE))[0] == 0


def test_numbers_that_are_used_up_are_said_to_be(fleet: Fleet) -> None:
    fast_forward(fleet)
    (fleet.folder / "release/rootfs.squashfs").write_bytes(b"hsqs" + build_bytes(1000))
    done = run("publish", "--force", fleet.folder / "release", "--site", fleet.site, "--key", fleet.key)
    assert done.status == errors.ReleaseError.exit_status
    assert "the site's numbers are used up" in done.line
    assert "swarmboot rotate" in done.line


def rotate(fleet: Fleet, *options: object) -> Fleet:
    """Change the fleet's keys; return the fleet with the new ones, as publishers see it."""
    new = Fleet(fleet.folder / "new")
    key_files.write_pair(new.folder / "keys")
    keys = ["--key", fleet.key, "--key", new.key]
    done = run("rotate", fleet.site, "--trust", fleet.pub, "--new-trust", new.pub, *keys, *options)
    assert done.status == 0, done.err
    return new


def test_an_operator_whose_key_was_stolen_rotates_and_publishes_on(tmp_path: Path, fleet: Fleet) -> None:
    fast_forward(fleet)
    new = rotate(fleet, "--keys-only")
    release = fleet.folder / "release"
    for number in (2, 3):
        (release / "rootfs.squashfs").write_bytes(b"hsqs" + build_bytes(1000, seed=number))
        done = run("publish", "--force", release, "--site", fleet.site, "--key", new.key, "--json")
        assert done.status == 0, done.err
        assert done.value["sequence"] == number
    for number, (trusted, *floor) in enumerate([(fleet.pub,), (fleet.pub, "--floor", str(MAX_SEQUENCE)), (new.pub,)]):
        with serving(fleet) as seeder:
            arguments = [*asking(seeder, fleet), "--trust", trusted, *floor]
            with booting(tmp_path, number + 1, *arguments) as node:
                status, said = node.end()
                assert status == 0, said
                assert node.digests() == fleet.digests(release)
    done = run("prune", fleet.site, "--keep", 1, "--grace", "0", "--json")
    assert (done.value["kept"], done.value["dropped"]) == ([3], [1, 2, MAX_SEQUENCE])


def test_a_rotation_that_keeps_enough_old_keys_lifts_no_floor(tmp_path: Path, fleet: Fleet) -> None:
    both = tmp_path / "both.pub"
    key_files.write_pair(tmp_path / "more")
    both.write_text(fleet.pub.read_text() + (tmp_path / "more/swarmboot.pub").read_text())
    keys = ["--key", fleet.key, "--key", tmp_path / "more/swarmboot.key"]
    assert run("rotate", fleet.site, "--trust", fleet.pub, "--new-trust", both, *keys).status == 0
    status, said = boots(tmp_path, fleet, "--floor", "5")
    assert status == errors.RollbackError.exit_status, said


def test_a_release_of_another_fleet_with_the_same_keys_is_refused(tmp_path: Path, fleet: Fleet) -> None:
    fleet.publish(fleet.folder / "release", "--fleet", "hall-3", "--channel", "hall")
    status, said = boots(tmp_path, fleet, "--channel", "hall", "--fleet", "hall-4")
    assert status == errors.FleetError.exit_status, said
    assert "expected fleet 'hall-4', found fleet 'hall-3'" in said
    assert len(said.splitlines()) == 1
    assert boots(tmp_path, fleet, "--channel", "hall", "--fleet", "hall-3")[0] == 0
    assert boots(tmp_path, fleet, "--channel", "hall")[0] == 0


def test_a_channel_and_a_manifest_of_two_fleets_are_refused(tmp_path: Path, fleet: Fleet) -> None:
    data = (fleet.site / "manifests/1.swarm").read_bytes()
    pointer = trust.Channel("another", "stable", Sequence(1), hashlib.sha256(data).digest())
    signed = trust.sign(trust.Kind.CHANNEL, trust.encode_channel(pointer), [key_files.read_private(fleet.key)])
    (fleet.site / "channels/stable.swarm").write_bytes(trust.encode_channel_file(signed, []))
    status, said = boots(tmp_path, fleet)
    assert status == errors.FleetError.exit_status, said


def test_a_fleet_name_that_no_setting_could_hold_is_not_published(tmp_path: Path, fleet: Fleet) -> None:
    done = program(
        "swarmboot", "publish", "--force", fleet.folder / "release", "--site", tmp_path / "s", "--key", fleet.key,
        "--fleet", "hall 3\n",
    )  # fmt: skip
    assert done.returncode == errors.MalformedSettingError.exit_status
    assert "not a fleet's name" in done.stderr


def pointer_of(fleet: Fleet) -> trust.Channel:
    data = (fleet.site / "channels/stable.swarm").read_bytes()
    return trust.open_channel_file(data, key_files.read_trust([fleet.pub])).channel


def test_a_pointer_with_an_end_is_signed_again_without_a_new_manifest(fleet: Fleet) -> None:
    assert pointer_of(fleet).expires_unix_s == 0
    fleet.publish(fleet.folder / "release", "--pointer-expires", "1d")
    first = pointer_of(fleet)
    assert 86400 - 60 < first.expires_unix_s - time.time() <= 86400
    fleet.publish(fleet.folder / "release", "--pointer-expires", "1d")
    assert pointer_of(fleet) == first
    fleet.publish(fleet.folder / "release", "--pointer-expires", "2d")
    assert pointer_of(fleet).expires_unix_s > first.expires_unix_s
    assert pointer_of(fleet).sequence == first.sequence == 1
    assert run("verify", fleet.site, "--trust", fleet.pub).status == 0


def test_a_node_refuses_a_pointer_that_is_over(tmp_path: Path, fleet: Fleet) -> None:
    expired = replace(pointer_of(fleet), expires_unix_s=1_750_000_001)
    signed = trust.sign(trust.Kind.CHANNEL, trust.encode_channel(expired), [key_files.read_private(fleet.key)])
    (fleet.site / "channels/stable.swarm").write_bytes(trust.encode_channel_file(signed, []))
    status, said = boots(tmp_path, fleet)
    assert status == errors.ExpiredError.exit_status, said
