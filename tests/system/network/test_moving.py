"""A neighbour that gets another address announces itself anew, and is found where it is then."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.support.waiting import wait_for_line
from tests.system.vm import images
from tests.system.vm.lan import ADDRESS, Lan, open_lan
from tests.system.vm.programs import PROMPT_S, in_network, own_network, run, running

pytestmark = [pytest.mark.root, pytest.mark.timeout(600), pytest.mark.needs("ip", "dnsmasq")]

SIZE_BYTES = 4_000_000
FETCHES = 20
"""At two seconds each, longer than a connection from an address that is gone is waited for."""


@contextmanager
def other_host(lan: Lan) -> Iterator[tuple[str, ...]]:
    """Plug one more host into the LAN and return what to put before a command to run there."""
    with own_network(lan.work / "host.log") as pid:
        lan.ip("link", "add", "other", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        lan.ip("link", "set", "other", "master", "rack", "up")
        inside = in_network(pid)
        run(*inside, "ip", "link", "set", "eth0", "up")
        yield inside


def leecher(lan: Lan, fleet: images.Fleet, into: Path, *more: str) -> tuple[str, ...]:
    return (
        sys.executable, "-m", "leecher", "--server", f"https://{ADDRESS}:8470", "--trust", str(fleet.trust), "--ca",
        str(fleet.authority), "--into", str(into), "--discovery", "off", *more,
    )  # fmt: skip


def test_a_neighbour_that_moves_is_found_at_its_new_address(tmp_path: Path) -> None:
    fleet, release, report = images.fleet(), tmp_path / "release", tmp_path / "report.json"
    release.mkdir()
    (release / "rootfs.squashfs").write_bytes(b"hsqs" + Random(4).randbytes(SIZE_BYTES))
    images.publish(release, "--force", site=tmp_path / "site", keys=fleet.keys)
    with ExitStack() as stack:
        lan = stack.enter_context(open_lan(tmp_path / "lan"))
        lan.serve(tmp_path / "site", state=fleet.state(tmp_path / "state"), uplink="20mbit")
        inside = stack.enter_context(other_host(lan))
        run(*inside, "ip", "address", "add", "10.99.0.21/24", "dev", "eth0")
        first = lan.work / "first.log"
        stack.enter_context(running(*inside, *leecher(lan, fleet, tmp_path / "first", "--linger"), log=first))
        wait_for_line(first, "complete; seeding", within_s=PROMPT_S)
        run(*inside, "ip", "address", "del", "10.99.0.21/24", "dev", "eth0")
        run(*inside, "ip", "address", "add", "10.99.0.22/24", "dev", "eth0")
        lan.add_address("10.99.0.12")
        for attempt in range(FETCHES):
            command = leecher(
                lan, fleet, tmp_path / f"later-{attempt}", "--bind", "10.99.0.12", "--report", str(report)
            )
            run(*lan.inside, *command)
            if json.loads(report.read_text())["bytes_from"]["neighbours"]:
                return
        raise AssertionError(f"{FETCHES} machines, one after the other, have not found the neighbour that moved")
