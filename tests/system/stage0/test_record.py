"""A machine's whole boot in the record: real dnsmasq, a client that asks as iPXE does, then a real node on it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.system.bare.dhcp import FILES, PXE_CLASS, ask
from tests.system.bare.rack import ADDRESS, PXE, BareRack, other_network, tiny_release_site
from tests.system.vm.programs import SWARMBOOT, run

pytestmark = [pytest.mark.root, pytest.mark.needs("dnsmasq", "ip", "curl")]

IMAGE = re.compile(rf"http://{re.escape(ADDRESS)}/k/[0-9a-f]{{64}}\?mac=[0-9a-f-]+")
WITH_ITS_CARDS = ("unshare", "--mount", "sh", "-ec", 'mount -t sysfs sysfs /sys; exec "$@"', "sh")
"""Puts before a command that its /sys shows the network that it runs in."""

STAGE0 = ["dhcp", "queue", "stage0", "kernel"]


def why(rack: BareRack, key: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run(*rack.inside, *SWARMBOOT, "why", key, "--json", "--state", state_of(rack)))
    return told


def known(rack: BareRack, mac: str) -> dict[str, Any] | None:
    nodes = json.loads(run(*rack.inside, *SWARMBOOT, "nodes", "--json", "--state", state_of(rack)))["nodes"]
    return why(rack, mac) if any(node["mac"] == mac for node in nodes) else None


def state_of(rack: BareRack) -> str:
    return str(rack.work / "state")


def test_a_boot_is_told_from_its_dhcp_to_its_images(rack: BareRack, tmp_path: Path) -> None:
    (tmp_path / "ipxe").mkdir()
    (tmp_path / "ipxe" / FILES[0]).write_bytes(b"iPXE")
    site = tiny_release_site(tmp_path)
    rack.serve(site, *PXE, "--ipxe", str(tmp_path / "ipxe"))
    with other_network(rack) as inside:
        mac = json.loads(run(*inside, "ip", "-j", "link", "show", "eth0"))[0]["address"]
        offer = ask(inside, mac, arch=0, vendor=PXE_CLASS, ipxe=True)
        assert offer is not None
        firmware = wait_until("DHCP in the record", lambda: known(rack, mac))
        assert (firmware["phase"], firmware["state"], firmware["addresses"]) == ("dhcp", "booting", [])
        assert "${netX/mac" in run(*inside, "curl", "-s", offer["file"])
        script = run(*inside, "curl", "-s", f"{offer['file']}?mac={mac.replace(':', '-')}&arch=x86_64")
        assert [each["name"] for each in why(rack, mac)["phases"]] == STAGE0[:3]
        for url in dict.fromkeys(IMAGE.findall(script)):
            run(*inside, "curl", "-s", "-o", "/dev/null", url)
        loaded = why(rack, mac)
        assert [each["name"] for each in loaded["phases"]] == STAGE0
        assert (loaded["phase"], loaded["state"]) == ("kernel", "booting")
        keys = ("--ca", str(rack.work / "state/ca.pem"), "--trust", str(site.parent / "keys/swarmboot.pub"))
        where = ("--server", f"https://{ADDRESS}:8470", "--into", str(tmp_path / "node"))
        run(*inside, *WITH_ITS_CARDS, *SWARMBOOT, "fetch", *where, *keys, "--progress", "none")
        told = wait_until("images in the record", lambda: found if (found := why(rack, mac))["bytes_from"] else None)
    names = [each["name"] for each in told["phases"]]
    assert names[:5] == [*STAGE0, "leecher_start"]
    assert {"manifest", "images", "verification"} < set(names)
    ends = [(each["start_unix_s"], each["end_unix_s"]) for each in told["phases"]]
    assert all(begun <= end for begun, end in ends)
    assert [begun for begun, _ in ends] == sorted(begun for begun, _ in ends)
    drawn = run(*rack.inside, "env", "COLUMNS=80", *SWARMBOOT, "why", mac, "--state", state_of(rack))
    assert all(re.search(rf"^{name} +\|.*=.*\|", drawn, re.MULTILINE) for name in STAGE0), drawn
