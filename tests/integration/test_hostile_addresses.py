"""Addresses that are none: a real seeder and real leechers while a host on their LAN announces what it likes."""

from __future__ import annotations

import ssl
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from swarmboot import manifest as manifests
from swarmboot import pieces, trust
from swarmboot.codec import pack
from swarmboot.ids import InfoHash
from swarmboot.trust import open_envelope
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
