"""Nobody speaks for a node but itself: real seeders and leechers, and a host that knows every node's id."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from pathlib import Path

from swarmboot.ids import NodeId, NodeKey
from swarmboot.release.key_files import read_trust
from swarmboot.wire.announce import NodeState
from swarmboot.wire.discovery import PORT, Probe, decode_datagram, encode_probe
from swarmboot.wire.report import BOOTED, VERIFIED, BootReport
from tests.support.liars import lying_host
from tests.support.liars.lying_host import Liar
from tests.support.loopback import Fleet, asking, booting, serving, status

KEY = NodeKey(b"k" * 16)


def test_who_knows_a_nodes_id_can_neither_remove_nor_move_it_nor_report_for_it(fleet: Fleet, tmp_path: Path) -> None:
    with ExitStack() as stack:
        seeder = stack.enter_context(serving(fleet))
        node = stack.enter_context(booting(tmp_path, 1, *asking(seeder, fleet), "--linger"))
        node_id = NodeId(bytes.fromhex(node.report()["node"]))
        mallory = stack.enter_context(Liar(seeder))
        for state in NodeState:
            for key in (NodeKey(b""), KEY):
                forged = lying_host.announce(node=node_id, state=state, key=key)
                assert mallory.announce(forged) == (403, None)
        assert mallory.report(BootReport(node_id.hex(), "forged")) == 403
        found = status(seeder)
        assert (found["nodes"], found["complete"]) == (1, 1)
        assert not [line for line in seeder.lines if "forged" in line]


def test_a_report_of_a_node_that_never_announced_is_taken(fleet: Fleet) -> None:
    with serving(fleet) as seeder, Liar(seeder) as stranger:
        assert stranger.report(BootReport("00" * 16, BOOTED)) == 204


def test_a_node_tells_its_lan_another_name_than_its_seeder(fleet: Fleet, tmp_path: Path) -> None:
    trusted = read_trust((fleet.pub,))
    with (
        serving(fleet) as seeder,
        booting(tmp_path, 1, *asking(seeder, fleet), "--linger") as node,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker,
    ):
        node_id = node.report()["node"]
        asker.bind(("127.0.0.99", 0))
        asker.settimeout(10.0)
        asker.sendto(encode_probe(Probe(NodeId(bytes(16)), tuple(trusted.keys))), ("127.0.0.2", PORT))
        presence = decode_datagram(asker.recv(2000))
    assert presence.node.hex() != node_id


def test_no_key_is_written_down_or_said(fleet: Fleet, tmp_path: Path) -> None:
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet)) as node:
        assert "key" not in node.report()
        assert node.end()[0] == 0
        assert "key" not in status(seeder)


def test_a_node_whose_id_another_began_boots_under_its_next(fleet: Fleet, tmp_path: Path) -> None:
    """The node's random source first gives the id that the forger has taken."""
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "sitecustomize.py").write_text(
        "from swarmboot import ids\n"
        "draw, first = ids.new_node_id, [ids.NodeId(bytes(16))]\n"
        "ids.new_node_id = lambda: first.pop() if first else draw()\n"
    )
    python = ["env", f"PYTHONPATH={taken}:{Path.cwd()}", sys.executable]
    with serving(fleet) as seeder, Liar(seeder) as mallory:
        assert mallory.announce(lying_host.announce(node=NodeId(bytes(16)), key=KEY))[0] == 200
        with booting(tmp_path, 1, *asking(seeder, fleet), "--discovery", "off", python=python) as node:
            assert node.end()[0] == 0
            report = node.report()
    assert (report["outcome"], report["rescues"]) == (VERIFIED, 0)
    assert report["node"] != bytes(16).hex()
