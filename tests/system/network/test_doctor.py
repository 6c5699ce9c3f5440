"""`swarmboot doctor` on a network of its own: what is really in the way there is what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.system.bare.dhcp import FILES
from tests.system.bare.rack import BareRack, bare_rack, other_network
from tests.system.vm.programs import SWARMBOOT, running

pytestmark = [pytest.mark.root, pytest.mark.needs("dnsmasq", "ip", "nft")]


def doctor(rack: BareRack, work: Path, *arguments: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """Return the status and what was found, by name."""
    command = (*rack.inside, *SWARMBOOT, "doctor", str(work), "--state", str(work / "none"), "--json", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found: dict[str, list[dict[str, str]]] = {}
    for check in json.loads(done.stdout)["checks"]:
        found.setdefault(check["name"], []).append(check)
    return done.returncode, found


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
        assert states(found, "firewall") == ["ok"]
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
