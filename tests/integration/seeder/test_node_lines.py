"""What a node's kernel and swarmboot say reaches a real seeder from a real leecher, and nobody speaks for another."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seeder.node_log.listener import LINES_BURST
from swarmboot.ids import NodeId, NodeKey
from swarmboot.wire.node_log import LINES_MAX, LOG_MAX_BYTES, LOG_PATH, NodeLines, Said, decode_taken, encode_lines
from tests.support.liars import lying_host
from tests.support.liars.lying_host import Liar
from tests.support.loopback import Fleet, Seeder, asking, booting, program, serving
from tests.support.waiting import wait_until

KEY, NO_KEY = NodeKey(b"k" * 16), NodeKey(b"")


class Kernel:
    """A file that grows as a kernel's log does."""

    def __init__(self, path: Path) -> None:
        self.path, self._number = path, 0
        path.touch()

    def say(self, text: str, *, level: int = 6) -> None:
        with self.path.open("a") as file:
            file.write(f"{level},{self._number},{int(time.monotonic() * 1e6)},-;{text}\n SUBSYSTEM=test\n")
        self._number += 1


def shown(seeder: Seeder, node: str) -> str:
    return program("swarmboot", "logs", node, "--state", seeder.ca.parent).stdout


def wait_for(seeder: Seeder, node: str, words: str) -> None:
    wait_until(f"{words!r} of {node}", lambda: words in shown(seeder, node), every_s=0.3)


@pytest.fixture(scope="module")
def seeder(fleet: Fleet) -> Iterator[Seeder]:
    with serving(fleet) as seeder:
        yield seeder


@contextmanager
def talking(seeder: Seeder, fleet: Fleet, tmp_path: Path, *more: str | Path) -> Iterator[Kernel]:
    """Boot a node at 127.0.0.2 whose kernel says what it is told to."""
    kernel = Kernel(tmp_path / "kmsg")
    kernel.say("Linux version 6.1.0 (test)", level=5)
    where = [*asking(seeder, fleet), "--discovery", "off", "--linger", "--log", kernel.path]
    with booting(tmp_path, 1, *where, *more):
        yield kernel


def test_lines_arrive_as_they_are_said_and_again_when_the_seeder_is_back(fleet: Fleet, tmp_path: Path) -> None:
    with serving(fleet) as first:
        port = first.address.rpartition(":")[2]
        with talking(first, fleet, tmp_path) as kernel:
            wait_for(first, "127.0.0.2", "kernel notice Linux version 6.1.0 (test)")
            wait_for(first, "127.0.0.2", "swarmboot info complete; seeding to neighbours until stopped")
            kernel.say("EXT4-fs error \x1b[2J", level=3)
            wait_for(first, "127.0.0.2", r"kernel error EXT4-fs error \x1b[2J")
            first.stop()
            for number in range(700):  # more than one post holds
                kernel.say(f"said to nobody {number}")
            with serving(fleet, "--listen", f"127.0.0.1:{port}") as second:
                wait_for(second, "127.0.0.2", "said to nobody 699")
                lines = [
                    line.rpartition(" ")[2] for line in shown(second, "127.0.0.2").splitlines() if "nobody" in line
                ]
                assert lines == [str(number) for number in range(700)]
                kernel.say("the last word")
                wait_for(second, "127.0.0.2", "the last word")


def test_a_node_that_is_stopped_says_its_last_words(seeder: Seeder, fleet: Fleet, tmp_path: Path) -> None:
    with talking(seeder, fleet, tmp_path) as kernel:
        kernel.say("up and well")
        wait_for(seeder, "127.0.0.2", "up and well")
        kernel.say("systemd-shutdown[1]: Sending SIGTERM")
    wait_for(seeder, "127.0.0.2", "systemd-shutdown")


def test_nobody_hands_in_lines_of_a_node_that_another_began(seeder: Seeder) -> None:
    node = NodeId(os.urandom(16))
    forged = encode_lines(NodeLines(node, (Said("forged", 6, "kernel", 0.0),), NO_KEY))
    with Liar(seeder, host="127.0.0.7") as honest, Liar(seeder, host="127.0.0.8") as mallory:
        assert honest.announce(lying_host.announce(node=node, key=KEY))[0] == 200
        assert mallory.post(LOG_PATH, forged)[0] == 403
        # an id that nobody began speaks for its own address, as a datagram does
        stranger = encode_lines(NodeLines(NodeId(os.urandom(16)), (Said("stranger", 6, "kernel", 0.0),), NO_KEY))
        assert mallory.post(LOG_PATH, stranger)[0] == 200
        own = encode_lines(NodeLines(node, (Said("honest", 6, "kernel", 0.0),), KEY))
        assert honest.post(LOG_PATH, own)[0] == 200
    wait_for(seeder, node.hex(), "kernel info honest")
    wait_for(seeder, "127.0.0.8", "kernel info stranger")
    assert "forged" not in shown(seeder, node.hex()) + shown(seeder, "127.0.0.8")


def test_hostile_posts_are_bounded(seeder: Seeder) -> None:
    lines = tuple(Said(f"\x1b[31mnoise {number}\n", 6, "kernel", 0.0) for number in range(LINES_MAX))
    with Liar(seeder, host="127.0.0.9") as mallory:
        taken = [
            decode_taken(mallory.post(LOG_PATH, encode_lines(NodeLines(NodeId(os.urandom(16)), lines)))[1])
            for _ in range(20)
        ]
        assert 0 < sum(each.lines for each in taken) < LINES_BURST + 1000
        assert taken[-1].after_s >= 5.0
        assert mallory.post(LOG_PATH, b"\xc1" * 100)[0] == 400
        assert mallory.post(LOG_PATH, bytes(LOG_MAX_BYTES + 1))[0] == 413
    wait_for(seeder, "127.0.0.9", r"kernel info \x1b[31mnoise 1")
    assert "\x1b" not in shown(seeder, "127.0.0.9")
    kept = sum(path.stat().st_size for path in (seeder.ca.parent / "nodelog").iterdir())
    assert kept < 2 * LINES_BURST * 80


def test_where_there_is_a_fleet_token_only_who_proves_it_hands_in_lines(fleet: Fleet, tmp_path: Path) -> None:
    token = tmp_path / "fleet.token"
    assert program("swarmboot", "keygen", "--fleet-token", token).returncode == 0
    with serving(fleet, "--fleet-token", str(token)) as seeder, Liar(seeder) as stranger:
        said = encode_lines(NodeLines(NodeId(os.urandom(16)), (Said("forged", 6, "kernel", 0.0),)))
        assert stranger.post(LOG_PATH, said)[0] == 403
        with talking(seeder, fleet, tmp_path, "--fleet-token", token):
            wait_for(seeder, "127.0.0.2", "Linux version 6.1.0")
        assert "forged" not in shown(seeder, "127.0.0.99")
