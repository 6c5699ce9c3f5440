"""`swarmboot doctor` on a network of its own: what is really in the way there is what it says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from seeder.doctor.machine import site_keys
from seeder.record.policy.ledger import Ledger
from seeder.record.store import Store
from tests.support.record import build_report
from tests.support.waiting import wait_until
from tests.system.bare.dhcp import FILES
from tests.system.bare.rack import BareRack, bare_rack, other_network, tiny_release_site
from tests.system.vm.programs import SWARMBOOT, run, running

pytestmark = [pytest.mark.root, pytest.mark.needs("dnsmasq", "ip", "nft")]


def doctor(rack: BareRack, work: Path, *arguments: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """Return the status and what was found, by name."""
    command = (*rack.inside, *SWARMBOOT, "doctor", str(work), "--state", str(work / "none"), "--json", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found: dict[str, list[dict[str, str]]] = {}
    for check in json.loads(done.stdout)["checks"]:
        found.setdefault(check["name"], []).append(check)
    return done.returncode, found


ANSWERER = """
import os, sys, trio
from leecher.neighbour.discovery import Discovery
from swarmboot.wire.discovery import Presence, Probe
probe = Probe(os.urandom(16), (bytes.fromhex(sys.argv[1]),))
presence = Presence(probe.node, 1, 6881, 8472)
node = Discovery(probe, bind="0.0.0.0", neighbours=(), is_multicast=True, presence=lambda: presence)
print("up", flush=True)
trio.run(node.listen)
"""
"""What a booted node does about discovery, alone."""

LOOK = """
import sys
from pathlib import Path
from seeder.doctor.cli import multicast
print(multicast("rack", Path(sys.argv[1]), Path(sys.argv[2])).line)
"""
DROP = (
    "add table inet f; add chain inet f i { type filter hook input priority 0; }; add rule inet f i udp dport 8471 drop"
)


def states(found: dict[str, list[dict[str, str]]], name: str) -> list[str]:
    return [check["state"] for check in found[name]]


def test_what_is_in_the_way_is_said_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "ipxe").mkdir()
    (tmp_path / "ipxe" / FILES[0]).write_bytes(b"x")
    with ExitStack() as stack:
        rack = stack.enter_context(bare_rack(tmp_path / "rack"))
        outside = stack.enter_context(other_network(rack, address="10.98.0.9"))
        arguments = ("--pxe", "rack", "--ipxe", str(tmp_path / "ipxe"))
        status, found = doctor(rack, tmp_path, *arguments)
        assert status == 0, found
        assert states(found, "ports") == ["ok"] * 4
        assert states(found, "other DHCP servers") == states(found, "iPXE") == states(found, "dnsmasq") == ["ok"]
        assert states(found, "firewall") == states(found, "multicast") == ["ok"]
        rules = (
            "add table inet filter; add chain inet filter input { type filter hook input priority 0; policy drop; };"
            "add rule inet filter input udp dport { 67, 68, 69 } accept; add rule inet filter input tcp dport 80 accept"
        )
        subprocess.run((*rack.inside, "nft", rules), check=True)
        listener = (
            "import socket, time; s = socket.create_server(('0.0.0.0', 8470)); print('up', flush=True); time.sleep(600)"
        )
        rack.start((sys.executable, "-c", listener), "listener")
        told = ("--dhcp-range=10.98.0.50,10.98.0.59,255.255.255.0", f"--dhcp-leasefile={tmp_path}/leases")
        other = ("dnsmasq", "--keep-in-foreground", "--port=0", "--interface=eth0", "--bind-interfaces", "--no-ping",
                 "--user=root", "--pid-file=", "--conf-file=/dev/null", *told)  # fmt: skip
        stack.enter_context(running(*outside, *other, log=tmp_path / "other.log"))
        wait_until("the listener", lambda: "up" in (rack.work / "listener.log").read_text())
        status, found = doctor(rack, tmp_path, *arguments)
        assert status == 60
        assert "none names tcp port 8470" in found["firewall"][0]["found"]
        (taken,) = (check for check in found["ports"] if check["state"] == "fault")
        assert "is taken by python" in taken["found"]
        assert found["other DHCP servers"][0]["found"] == "10.98.0.9 answers on rack"


def test_multicast_that_does_not_get_through_is_told_from_a_rack_that_is_not_up(tmp_path: Path) -> None:
    site = tiny_release_site(tmp_path)
    (key,) = site_keys(site)
    (tmp_path / "state").mkdir()
    store = Store(tmp_path / "state")
    ledger = Ledger()
    boot = ledger.reported(build_report(outcome="booted"), host="10.98.0.9", now_s=time.time())
    with ExitStack() as stack:
        rack = stack.enter_context(bare_rack(tmp_path / "rack"))

        def multicast() -> str:
            return run(*rack.inside, sys.executable, "-c", LOOK, str(site), str(tmp_path / "state")).strip()

        assert multicast() == "ok    multicast: no node on rack is up yet that could answer in 239.192.84.70"
        store.write({boot.id: boot}, frozenset({boot.id}))
        store.close()
        assert multicast().startswith("note  multicast: of 1 nodes that are up on rack none answers in 239.192.84.70; ")
        inside = stack.enter_context(other_network(rack))
        log = tmp_path / "node.log"
        stack.enter_context(running(*inside, sys.executable, "-c", ANSWERER, key.hex(), log=log))
        wait_until("a node", lambda: "up" in log.read_text())
        assert multicast() == "ok    multicast: 1 node answers in 239.192.84.70 on rack"
        run(*inside, "nft", DROP)  # as a switch does that takes nobody for a member
        assert multicast().startswith("note  multicast: of 1 nodes that are up on rack none answers")
        run(*rack.inside, "nft", DROP)
        assert multicast().startswith("note  multicast: this machine does not hear itself in 239.192.84.70 on rack; ")
