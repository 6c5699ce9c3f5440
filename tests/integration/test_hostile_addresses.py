"""Addresses that are none: a real seeder and real leechers while a host on their LAN announces what it likes."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from random import Random

import pytest

from leecher.discovery import GROUP, PORT
from leecher.hearsay import DOORS_OF_ONE
from swarmboot import manifest as manifests
from swarmboot import pieces, trust
from swarmboot.codec import pack
from swarmboot.ids import InfoHash, NodeId, Sequence
from swarmboot.keyfile import read_trust
from swarmboot.trust import open_envelope
from swarmboot.wire import Presence, Probe, decode_datagram, encode_presence
from tests.integration.world import Fleet, Seeder, asking, booting, build_fleet, build_release, serving, status

NO_ADDRESSES = ("no address", "10.0.0.7\nshell", "", "[::1]", "256.1.1.1", "a.example", "${net0/mac}", "'; halt; '")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_release(tmp_path_factory.mktemp("addresses") / "release", size_bytes=2_000_000)
    random = Random(7)
    (folder / "vmlinuz").write_bytes(random.randbytes(70_000))
    (folder / "initramfs.img").write_bytes(random.randbytes(90_000))
    return folder


@pytest.fixture(scope="module")
def fleet(release: Path) -> Fleet:
    return build_fleet(release.parent, release)


def manifest_of(fleet: Fleet) -> manifests.Manifest:
    data = (fleet.site / "manifests" / "1.swarm").read_bytes()
    return manifests.decode(open_envelope(data, trust.Kind.MANIFEST).payload)


def announce(seeder: Seeder, number: int, **fields: object) -> None:
    """Post an announce as an older node writes it, with a host of its own choice."""
    value = {"node": number.to_bytes(16, "big"), "sequence": 1, "state": "complete", "port": 6881, **fields}
    context = ssl.create_default_context(cafile=str(seeder.ca))
    request = urllib.request.Request(f"{seeder.address}/announce", data=pack(value))
    urllib.request.urlopen(request, context=context, timeout=10).read()


def has_everything(fleet: Fleet) -> dict[InfoHash, bytes]:
    artifacts = manifest_of(fleet).artifacts
    return {each.info_hash: pieces.encode(pieces.all_pieces(each.pieces), each.pieces) for each in artifacts}


def test_forty_announces_of_a_host_that_is_no_address_end_no_boot(fleet: Fleet, release: Path, tmp_path: Path) -> None:
    with serving(fleet) as seeder, ExitStack() as stack:
        have = has_everything(fleet)
        for number in range(40):
            announce(seeder, number + 1, host=NO_ADDRESSES[number % len(NO_ADDRESSES)], http_port=80, have=have)
        assert status(seeder)["nodes"] == 40
        nodes = [stack.enter_context(booting(tmp_path, number, *asking(seeder, fleet))) for number in (1, 2, 3)]
        for node in nodes:
            assert node.end() == (0, "")
            assert node.digests() == fleet.digests(release)


class Forger:
    """A host that hears the probes of its LAN and answers them in the name of 127.0.0.66, whose doors it knows."""

    DOORS = 12

    def __init__(self, keys: Collection[bytes]) -> None:
        self.heard = 0
        self._keys = set(keys)
        self.victims = [socket.create_server(("127.0.0.66", 0)) for _ in range(self.DOORS)]
        self.dialled: set[int] = set()
        self._ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._ear.bind((GROUP, PORT))
        request = struct.pack("4s4si", socket.inet_aton(GROUP), bytes(4), socket.if_nametoindex("lo"))
        self._ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        self._mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._mouth.bind(("127.0.0.66", 0))

    def run(self, stop: threading.Event) -> None:
        """Answer probes and count who is dialled until `stop`."""
        while not stop.is_set():
            ready, _, _ = select.select([self._ear, *self.victims], [], [], 0.05)
            for each in ready:
                if each is self._ear:
                    self._answer()
                else:
                    taken, _ = each.accept()
                    taken.close()
                    self.dialled.add(each.fileno())

    def _answer(self) -> None:
        data, asker = self._ear.recvfrom(2000)
        probe = decode_datagram(data)
        if isinstance(probe, Probe) and set(probe.keys) == self._keys:  # not another test's
            self.heard += 1
            ports = [victim.getsockname()[1] for victim in self.victims]
            for port, nonce in product(ports, (probe.nonce, b"", b"x" * 16)):
                forged = Presence(NodeId(b"f" * 16), Sequence(10**6), port, port, nonce)
                self._mouth.sendto(encode_presence(forged), asker)

    def close(self) -> None:
        for each in (self._ear, self._mouth, *self.victims):
            each.close()


@pytest.fixture
def forger(fleet: Fleet) -> Iterator[Forger]:
    forger, stop = Forger(read_trust((fleet.pub,)).keys), threading.Event()
    thread = threading.Thread(target=forger.run, args=(stop,))
    thread.start()
    yield forger
    stop.set()
    thread.join()
    forger.close()


def test_forged_answers_to_probes_aim_a_node_at_few_doors_and_it_boots(
    fleet: Fleet, release: Path, tmp_path: Path, forger: Forger
) -> None:
    with ExitStack() as stack:
        with serving(fleet) as seeder:
            warm = stack.enter_context(booting(tmp_path, 1, *asking(seeder, fleet), "--neighbour"))
            warm.report()
        node = stack.enter_context(booting(tmp_path, 2, "--trust", fleet.pub, "--timeout", "60s"))
        status_code, said = node.end()
        assert (status_code, node.digests()) == (0, fleet.digests(release)), said
    assert forger.heard
    assert len(forger.dialled) <= DOORS_OF_ONE
