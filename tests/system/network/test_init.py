"""`swarmboot init` on machines that have been given networks: what it finds out, and that it serves as it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_for_line
from tests.system.bare.dhcp import FILES, OWN, PXE_CLASS, ask
from tests.system.bare.rack import ADDRESS, BareRack, bare_rack, ordinary_dhcp, other_network, tiny_release_site
from tests.system.vm.programs import SWARMBOOT, run, running

pytestmark = [pytest.mark.root, pytest.mark.needs("dnsmasq", "ip", "busybox")]


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[BareRack]:
    with bare_rack(tmp_path / "rack") as rack:
        yield rack


def init(rack: BareRack, *more: str) -> dict[str, Any]:
    command = (*SWARMBOOT, "init", "--root", str(rack.work / "server"), "--json", *more)
    found: dict[str, Any] = json.loads(run(*rack.inside, *command))
    return found


def contents(folder: Path) -> dict[Path, tuple[bytes, int, int]]:
    return {
        path: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_server_is_made_by_one_command_and_again_changes_nothing(rack: BareRack, tmp_path: Path) -> None:
    looked = init(rack, "--dry-run")
    assert not (rack.work / "server").exists()
    with other_network(rack, address="10.98.0.200") as inside:
        run(*inside, "busybox", "ping", "-c", "1", ADDRESS)
        made = init(rack)
    assert (made["pxe"], made["dhcp_range"], made["kept"]) == ("rack", "10.98.0.11,10.98.0.199", [])
    assert looked["made"] == made["made"]
    server = rack.work / "server"
    assert (server / "srv/swarmboot").is_dir()
    (private,) = server.rglob("swarmboot.key")
    assert private.stat().st_mode & 0o777 == 0o600
    unit = (server / "etc/systemd/system/swarmboot.service").read_text()
    assert " serve --config /etc/swarmboot/serve.toml\n" in unit
    assert "CAP_NET_ADMIN" in unit
    assert str(server) not in unit
    before = contents(server)
    again = init(rack)
    assert (again["made"], again["kept"]) == ([], made["made"])
    assert contents(server) == before


def test_what_it_makes_serves_bare_machines(rack: BareRack, tmp_path: Path) -> None:
    init(rack)
    (tmp_path / "ipxe").mkdir()
    (tmp_path / "ipxe" / FILES[0]).write_bytes(b"iPXE")
    log = tmp_path / "serve.log"
    command = (
        "serve", str(tiny_release_site(tmp_path)), "--config", str(rack.work / "server/etc/swarmboot/serve.toml"),
        "--state", str(rack.work / "server/var/lib/swarmboot"), "--ipxe", str(tmp_path / "ipxe"), "--log-format=bare",
    )  # fmt: skip
    authority = (rack.work / "server/var/lib/swarmboot/ca.pem").read_bytes()
    with running(*rack.inside, *SWARMBOOT, *command, log=log), other_network(rack) as inside:
        wait_for_line(log, "^stage 0: manifest")
        offer = ask(inside, OWN, arch=0, vendor=PXE_CLASS)
    assert offer is not None
    assert (rack.work / "server/var/lib/swarmboot/ca.pem").read_bytes() == authority


def test_beside_another_dhcp_server_it_gives_out_no_addresses(rack: BareRack) -> None:
    with ordinary_dhcp(rack):
        made = init(rack, "--dry-run")
    assert (made["pxe"], made["dhcp_range"]) == ("rack,proxy", "")
    assert made["notes"] == ["10.98.0.9 gives addresses on rack, and this server says what to boot beside it"]


def test_what_was_there_before_is_kept_and_taken_into_account(rack: BareRack) -> None:
    server = rack.work / "server"
    kept = {
        "etc/swarmboot/serve.toml": 'site = "/srv/other"\nlisten = "10.98.0.1:443"\n',
        f"{Path(os.environ.get('HOME', '/root')).relative_to('/')}/.config/swarmboot/swarmboot.key": "a key",
    }
    for name, text in kept.items():
        (server / name).parent.mkdir(parents=True)
        (server / name).write_text(text)
    made = init(rack)
    assert sorted(made["kept"]) == sorted(str(server / name) for name in kept)
    assert {name: (server / name).read_text() for name in kept} == kept
    unit = (server / "etc/systemd/system/swarmboot.service").read_text()
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in unit  # for port 443, and for no DHCP
    (note,) = made["notes"]
    assert note.startswith("/etc/swarmboot/serve.toml is kept as it is")
