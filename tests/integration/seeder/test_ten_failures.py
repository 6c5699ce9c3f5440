"""A fleet of 200 simulated and some real nodes, of which these fail in their own ways: `why` names each one's cause."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from urllib.error import HTTPError

import pytest
from click.testing import CliRunner

from seeder.http.authority import issue_certificate
from swarmboot.cli import swarmboot
from swarmboot.crypto.fleet_token import read_tokens
from swarmboot.wire.announce import NodeState
from swarmboot.wire.report import BOOTED, FAILED, VERIFIED
from tests.bench.seeder import image_of
from tests.integration.seeder.test_record import get
from tests.integration.stage0.test_strangers import get as get_plainly
from tests.integration.stage0.test_strangers import images_in
from tests.support.loopback import Fleet, Seeder, asking, booting, build_fleet, build_release, program, serving
from tests.support.racks.simulated import SimulatedNode, Target
from tests.support.waiting import wait_until

SIMULATED = 200
STUCK_AFTER = "2s"
UNHEARD_MAC, UNHEARD_HOST = "52:54:00:99:00:01", "127.0.0.90"
Values = dict[str, Any]


def build_target(fleet: Fleet, seeder: Seeder, token: Path) -> Target:
    image = image_of(fleet.site)
    (secret,) = read_tokens(token)
    return Target(seeder.address, seeder.ca, image.info_hash, image.pieces, secret)


def boot_well(node: SimulatedNode) -> None:
    """Have a simulated node boot from its first announce to the first word of its system."""
    assert node.announce() == 200
    assert node.report(VERIFIED, hands_off=True) == 204
    assert node.announce(NodeState.LEAVING) == 200
    node.program = 1
    assert node.announce(NodeState.COMPLETE) == 200
    assert node.report(BOOTED, phases={"services": 0.2}) == 204
    node.close()


@contextmanager
def announcing_in_vain(node: SimulatedNode) -> Iterator[None]:
    """Have a node say twice a second that it starves, while the context is open."""
    is_over = threading.Event()

    def announce() -> None:
        while not is_over.wait(0.5):
            node.announce(is_starving=True, from_neighbours_bytes=0)

    thread = threading.Thread(target=announce)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        node.close()


def why(seeder: Seeder, key: str) -> Values:
    asked = ["why", key, "--json", "--server", seeder.address, "--ca", str(seeder.ca)]
    told: Values = json.loads(CliRunner().invoke(swarmboot, asked, catch_exceptions=False).output)
    return told


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("failures")
    release = build_release(folder / "release", size_bytes=300_000)
    for name in ("vmlinuz", "initramfs.img"):
        (release / name).write_bytes(Random(name).randbytes(20_000))
    return build_fleet(folder, release)


@pytest.fixture(scope="module")
def token(fleet: Fleet) -> Path:
    path = fleet.folder / "fleet.token"
    assert program("swarmboot", "keygen", "--fleet-token", path).returncode == 0
    return path


def real_failures(fleet: Fleet, seeder: Seeder, token: Path) -> dict[str, list[str | Path]]:
    """Return the arguments of real leechers that fail, by the cause that each has."""
    other = fleet.folder / "other"
    assert program("swarmboot", "keygen", "--out", other).returncode == 0
    stranger = issue_certificate(fleet.folder / "stranger", ["127.0.0.1"]).authority
    assert stranger is not None
    right: dict[str, str | Path] = {
        "--server": seeder.address,
        "--trust": fleet.pub,
        "--ca": seeder.ca,
        "--fleet-token": token,
    }
    changes: dict[str, dict[str, str | Path]] = {
        "no such channel": {"--channel": "edgy"},
        "no room for the images": {"--reserve": "1000000GiB"},
        "too few signatures": {"--trust": other / "swarmboot.pub"},
        "another fleet's release": {"--fleet": "another"},
        "older than before": {"--floor": "99"},
        "certificate not trusted": {"--ca": stranger},
    }
    return {
        cause: [word for pair in {**right, **change}.items() for word in pair] + ["--timeout", "60s"]
        for cause, change in changes.items()
    }


def test_why_names_the_cause_of_each_node_that_fails_in_a_fleet_that_boots(
    fleet: Fleet, token: Path, tmp_path: Path
) -> None:
    options = ("--fleet-token", str(token), "--pxe-listen", "127.0.0.1:0", "--stuck-after", STUCK_AFTER)
    expected: dict[str, tuple[str, str]] = {}
    with serving(fleet, *options) as seeder, ExitStack() as stack:
        target = build_target(fleet, seeder, token)
        for number, (cause, arguments) in enumerate(real_failures(fleet, seeder, token).items(), start=60):
            stack.enter_context(booting(tmp_path, number, *arguments))
            expected[f"127.0.0.{number + 1}"] = ("stuck" if cause in STUCK else "failed", cause)
        for number in range(1, 5):
            well = [*asking(seeder, fleet), "--linger", "on", "--fleet-token", token]
            stack.enter_context(booting(tmp_path, number, *well))
        stack.enter_context(booting(tmp_path, 70, *asking(seeder, fleet), "--linger", "on"))
        expected["127.0.0.71"] = ("stuck", "no fleet token")
        for number in range(SIMULATED):
            boot_well(SimulatedNode(target, number, rack=f"r{number // 40}"))

        load_and_fall_silent(seeder)
        expected[UNHEARD_MAC] = ("stuck", "never announced")
        expected |= fall_silent(target)
        starving = SimulatedNode(target, 1004)
        stack.enter_context(announcing_in_vain(starving))
        expected[starving.mac] = ("stuck", "no piece comes")

        found: dict[str, tuple[str, str]] = {}

        def are_all_told() -> bool:
            for key in expected:
                if found.get(key) != expected[key]:
                    found[key] = state_of(seeder, key)
            return found == expected

        wait_until("the cause of each", are_all_told, seen=lambda: found, every_s=0.5)
        assert_told(seeder, expected)
        states = Counter(state for state, _ in expected.values()) + Counter(up=SIMULATED + 4)
        nodes = state_counts(seeder)
        assert {state: nodes[state] for state in ("up", "failed", "stuck")} == dict(states)


def assert_told(seeder: Seeder, expected: Mapping[str, tuple[str, str]]) -> None:
    for key, (state, cause) in expected.items():
        told = why(seeder, key)
        assert (told["state"], told["kind"]) == (state, cause)
        assert told["cause"]
        assert told["advice"]


STUCK = ("no such channel", "certificate not trusted")


def load_and_fall_silent(seeder: Seeder) -> None:
    """Load kernel and initramfs as a bare machine does, and never say anything again."""
    stage0 = ("127.0.0.1", int(seeder.stage0_url().rpartition(":")[2]))
    script = get_plainly(stage0, f"/boot.ipxe?mac={UNHEARD_MAC}", source=UNHEARD_HOST).decode()
    assert images_in(script)
    for path in images_in(script):
        assert len(get_plainly(stage0, path, source=UNHEARD_HOST)) == 20_000


def fall_silent(target: Target) -> dict[str, tuple[str, str]]:
    """Have simulated nodes go wrong in ways that take a machine; return what is to be said of each."""
    silent, dark, other, victim = (SimulatedNode(target, number) for number in range(1000, 1004))
    assert silent.announce() == 200
    assert dark.announce() == 200
    assert dark.report(VERIFIED, hands_off=True) == 204
    assert dark.announce(NodeState.LEAVING) == 200
    for node, changes in (
        (other, {"stage0": "the kernel is 6.1.0, the release's is 6.12.0"}),
        (victim, {"bans": ("127.20.0.9",), "hash_failures": 12}),
    ):
        assert node.announce() == 200
        assert node.report(BOOTED, **changes) == 204
    broken = SimulatedNode(target, 1005)
    assert broken.report(FAILED, error="rootfs.squashfs is not what was signed", exit_status=32) == 204
    for node in (silent, dark, other, victim, broken):
        node.close()
    return {
        silent.mac: ("stuck", "silent"),
        dark.mac: ("stuck", "dark after hand-off"),
        other.mac: ("up", "another kernel"),
        victim.mac: ("up", "corrupt neighbour"),
        broken.mac: ("failed", "image is not what was signed"),
    }


def state_of(seeder: Seeder, key: str) -> tuple[str, str]:
    try:
        told = get(seeder, f"/api/nodes/{key}")
    except HTTPError as error:
        error.close()
        return "", ""
    return told["state"], told["kind"]


def state_counts(seeder: Seeder) -> Values:
    counts: Values = get(seeder, "/api/fleet")["nodes"]
    return counts
