"""Rows about whom a rack meets: a neighbour that lies, an origin that fails, an old mirror, burners and forgers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from netsim.lab.chaos.guests.proxy import FAULTS
from netsim.lab.chaos.rows.row import Row
from netsim.lab.rack.layout import NETWORK, PREFIX_LENGTH, SERVER_ADDRESS
from netsim.lab.rack.namespaces import run_tool
from netsim.lab.strategies.swarmboot import PORT

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsim.lab.chaos.rack import Rack

_SERVER = f"{SERVER_ADDRESS}:{PORT}"
_SEEDER_PORT = 8444
_SPOILED = 0.3
_FORGED = 40
_RETURN_TABLE = "77"
_LEAD_S = 1.0
"""How long a guest has the seeder to itself before the rack starts."""


def _module(name: str, rack: Rack, *more: str) -> tuple[str, ...]:
    """Return the command of one of the hostile guests."""
    ca, site = rack.depot.state / "ca.pem", rack.site
    return (sys.executable, "-m", f"netsim.lab.chaos.guests.{name}", _SERVER, str(ca), str(site), *more)


def _after_a_lead(rack: Rack) -> None:
    """Boot the rack when a guest has had the seeder to itself for a moment."""
    rack.pause(_LEAD_S)
    rack.start_all()
    rack.finish()


def _lying(fraction: float) -> Callable[[Rack], None]:
    def play(rack: Rack) -> None:
        guest = rack.layout.warm[0]
        rack.start_seeder()
        folder = rack.directory / "liar"
        folder.mkdir()
        liar = _module("liar", rack, guest.address, str(fraction), str(rack.terms.seed), str(folder))
        program = rack.start_guest("liar", guest, *liar)
        _after_a_lead(rack)
        rack.must_have_said(program, "altered")

    return play


def _bad_origin(fault: str) -> Callable[[Rack], None]:
    def play(rack: Rack) -> None:
        netns = rack.layout.server_netns
        rule = f"rule add from {SERVER_ADDRESS} ipproto tcp sport {_SEEDER_PORT} lookup {_RETURN_TABLE}"
        run_tool(
            "ip", "-n", netns, "-batch", "-", lines=[rule, f"route add local default dev lo table {_RETURN_TABLE}"]
        )
        rack.start_seeder(listen=f"{SERVER_ADDRESS}:{_SEEDER_PORT}")
        certificate, key = rack.depot.proxy_certificate
        own = (str(certificate), str(key), str(rack.depot.state / "ca.pem"))
        answers = (fault, str(_SPOILED), str(rack.terms.seed))
        program = rack.start_at_server(
            "proxy", PORT, "netsim.lab.chaos.guests.proxy", SERVER_ADDRESS, str(PORT), str(_SEEDER_PORT), *own, *answers
        )
        rack.start_all(ca=certificate)
        rack.finish()
        rack.must_have_said(program, "is spoiled")

    return play


def _old_mirror(rack: Rack) -> None:
    rack.start_seeder("--origin", rack.start_mirror(rack.depot.old_site, rack.layout.warm[0]))
    rack.start_all()
    rack.finish()


def _lease_burner(rack: Rack) -> None:
    rack.start_seeder()
    program = rack.start_guest("burner", rack.layout.warm[0], *_module("burner", rack))
    _after_a_lead(rack)
    rack.must_have_said(program, "burned")


def _forged_nodes(rack: Rack) -> None:
    """The guest takes the forged addresses, and answers nothing that nodes send there: not even by refusing."""
    guest = rack.layout.warm[0]
    addresses = [f"10.77.200.{number}" for number in range(1, _FORGED + 1)]
    silence = (f"route replace {SERVER_ADDRESS}/32 dev eth0", f"route replace blackhole {NETWORK}")
    taken = [f"addr add {address}/{PREFIX_LENGTH} dev eth0" for address in addresses]
    run_tool("ip", "-n", guest.netns, "-batch", "-", lines=[*taken, *silence])
    rack.start_seeder()
    program = rack.start_guest("forger", guest, *_module("forger", rack, *addresses))
    _after_a_lead(rack)
    rack.must_have_said(program, "has spoken")


ROWS = (
    *(
        Row(
            f"liar-{percent}",
            f"One neighbour that claims to have everything alters {percent} % of the blocks that it sends.",
            _lying(percent / 100),
            guests=1,
        )
        for percent in (1, 100)
    ),
    *(
        Row(
            f"origin-{fault}",
            f"The only origin, seeder and all, {does} for {_SPOILED * 100:.0f} % of all requests.",
            _bad_origin(fault),
        )
        for fault, does in FAULTS.items()
    ),
    Row(
        "old-mirror",
        "The seeder names a mirror that still has the release before, and none of the new one's bytes.",
        _old_mirror,
        guests=1,
        has_mirror=True,
    ),
    Row(
        "lease-burner",
        "A client with port 0 and 64 slots takes every lease it gets, fetches nothing, and reports all received.",
        _lease_burner,
        guests=1,
    ),
    Row(
        "forged-nodes",
        f"{_FORGED} forged nodes claim to have everything, at addresses that answer nothing.",
        _forged_nodes,
        guests=1,
    ),
)
