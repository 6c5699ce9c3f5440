"""Addresses that are none: a real seeder and real leechers while a host on their LAN announces what it likes."""

from __future__ import annotations

import re
import select
import shutil
import socket
import ssl
import struct
import threading
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from leecher.policy.hearsay import PORTS_OF_ONE
from seeder.site.issue import issue
from seeder.site.writer import SiteWriter
from swarmboot.codec import pack
from swarmboot.errors import ReleaseError
from swarmboot.ids import InfoHash, NodeId, Sequence
from swarmboot.release import manifest as manifests
from swarmboot.release import piece_set, trust
from swarmboot.release.key_files import read_private, read_trust
from swarmboot.release.manifest import Role
from swarmboot.release.trust import open_envelope
from swarmboot.wire.discovery import GROUP, PORT, Presence, Probe, decode_datagram, encode_presence
from tests.support.loopback import (
    Fleet,
    Seeder,
    asking,
    booting,
    build_release,
    program,
    serving,
    status,
    wait_for_stage0_neighbour,
)

NO_ADDRESSES = ("no address", "10.0.0.7\nshell", "", "[::1]", "256.1.1.1", "a.example", "${net0/mac}", "'; halt; '")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("addresses") / "release"
    return build_release(folder, size_bytes=2_000_000, stage0_bytes=80_000)


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
    return {each.info_hash: piece_set.encode(piece_set.all_pieces(each.pieces), each.pieces) for each in artifacts}


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
    """A host that hears the probes of its LAN and answers them in the name of 127.0.0.66, whose ports it knows."""

    PORTS = 12

    def __init__(self, keys: Collection[bytes]) -> None:
        self.heard = 0
        self._keys = set(keys)
        self.victims = [socket.create_server(("127.0.0.66", 0)) for _ in range(self.PORTS)]
        self.dialled: set[int] = set()
        self._group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._group.bind((GROUP, PORT))
        request = struct.pack("4s4si", socket.inet_aton(GROUP), bytes(4), socket.if_nametoindex("lo"))
        self._group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        self._answering = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._answering.bind(("127.0.0.66", 0))

    def run(self, stop: threading.Event) -> None:
        """Answer probes and count who is dialled until `stop`."""
        while not stop.is_set():
            ready, _, _ = select.select([self._group, *self.victims], [], [], 0.05)
            for each in ready:
                if each is self._group:
                    self._answer()
                else:
                    taken, _ = each.accept()
                    taken.close()
                    self.dialled.add(each.fileno())

    def _answer(self) -> None:
        data, asker = self._group.recvfrom(2000)
        probe = decode_datagram(data)
        if isinstance(probe, Probe) and set(probe.keys) == self._keys:  # not another test's
            self.heard += 1
            ports = [victim.getsockname()[1] for victim in self.victims]
            for port, nonce in product(ports, (probe.nonce, b"", b"x" * 16)):
                forged = Presence(NodeId(b"f" * 16), Sequence(10**6), port, port, nonce)
                self._answering.sendto(encode_presence(forged), asker)

    def close(self) -> None:
        for each in (self._group, self._answering, *self.victims):
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


def test_forged_answers_to_probes_aim_a_node_at_few_ports_and_it_boots(
    fleet: Fleet, release: Path, tmp_path: Path, forger: Forger
) -> None:
    with ExitStack() as stack:
        with serving(fleet) as seeder:
            warm = stack.enter_context(booting(tmp_path, 1, *asking(seeder, fleet), "--linger"))
            warm.report()
        node = stack.enter_context(booting(tmp_path, 2, "--trust", fleet.pub, "--timeout", "60s"))
        status_code, said = node.end()
        assert (status_code, node.digests()) == (0, fleet.digests(release)), said
    assert forger.heard
    assert len(forger.dialled) <= PORTS_OF_ONE


def scripts(seeder: Seeder, number: int, **headers: str) -> dict[str, str]:
    """Return what the seeder tells bare machine `number` in either language, and what one that is no machine."""
    url, told = seeder.stage0_url(), {}
    for path, mac in (
        ("boot.ipxe", f"52-54-00-00-00-{number:02x}"),
        ("grub.cfg", f"52-54-00-00-01-{number:02x}"),
        ("boot.ipxe", "$(halt)%0Ashell"),
        ("grub.cfg", "%27;halt;%27"),
    ):
        request = urllib.request.Request(f"{url}/{path}?mac={mac}", headers=headers)
        told[f"{path} {mac[:5]}"] = urllib.request.urlopen(request, timeout=30).read().decode()
    return told


def first_words(text: str) -> set[str]:
    return {re.sub("[0-9]+", "", line.split()[0]) for line in text.splitlines()}


@pytest.mark.parametrize("trust_mode", ["lan", "ipxe-verify", "secureboot"])
def test_a_hostile_announce_writes_nothing_into_a_boot_script(fleet: Fleet, trust_mode: str) -> None:
    """The node serves stage 0 by its own word; whatever else it says, scripts name the address it came from."""
    manifest = manifest_of(fleet)
    serves = [
        each.sha256 for each in (*manifest.with_role(Role.KERNEL), *manifest.with_role(Role.INITRAMFS))
    ]  # fmt: skip
    with serving(fleet, "--pxe-listen", "127.0.0.1:0", "--stage0-trust", trust_mode) as seeder:
        announce(seeder, 1, serves=serves, http_port=8471)
        wait_for_stage0_neighbour(seeder)
        plain = scripts(seeder, 0)
        assert "http://127.0.0.1:8471/k/" in plain["boot.ipxe 52-54"]
        # nobody checks what GRUB loads there, so that it loads from the server alone
        assert ("(http,127.0.0.1:8471)/k/" in plain["grub.cfg 52-54"]) == (trust_mode != "ipxe-verify")
        hosts = set(re.findall(r"//([^/]+)/", plain["boot.ipxe 52-54"]))
        for number, host in enumerate(NO_ADDRESSES, start=1):
            announce(seeder, number, serves=serves, http_port=8471, host=host, rack=f"r\nshell || {host}"[:64])
            for name, text in scripts(seeder, number, Host="'; halt; '", Forwarded="host=';halt;'").items():
                assert not re.search(r"shell|halt|256\.1|10\.0\.0\.7|a\.example|net0/", text)
                assert first_words(text) <= first_words(plain[name])
                assert set(re.findall(r"(?://|\(http,)([^/)' ]+)", text)) <= {*hosts, seeder.address[8:]}


def refused_publish(release: Path, fleet: Fleet, toml: str) -> str:
    """Return what publication says to a release with this release.toml, which changes nothing in the site."""
    before = sorted(path.name for path in fleet.site.rglob("*"))
    (release / "release.toml").write_text(toml)
    try:
        done = program("swarmboot", "publish", "--force", release, "--site", fleet.site, "--key", fleet.key)
    finally:
        (release / "release.toml").unlink()
    assert done.returncode == ReleaseError.exit_status
    assert sorted(path.name for path in fleet.site.rglob("*")) == before
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", ["it's", "a && reboot"])
def test_publish_refuses_a_name_that_a_boot_script_cannot_carry(fleet: Fleet, release: Path, name: str) -> None:
    said = refused_publish(release, fleet, f'name = "{name}"\n')
    assert "the release's name cannot be written into a boot script: expected" in said


@pytest.mark.parametrize(
    "toml", ['cmdline = "a || b"\n', 'cmdline = "it\'s"\n', '[[profiles]]\nname = "gpu"\ncmdline = "${a}"\n']
)
def test_publish_refuses_a_command_line_that_a_boot_script_cannot_carry(fleet: Fleet, release: Path, toml: str) -> None:
    said = refused_publish(release, fleet, toml)
    assert "the kernel command line cannot be written into a boot script: expected" in said
    assert "correct cmdline in release.toml" in said


@pytest.mark.parametrize(
    ("changes", "told", "logged"),
    [
        (
            {"name": "'; halt; ' || shell"},
            ["echo swarmboot: ?? halt? ? ?? shell, manifest 1", "echo 'swarmboot: ?? halt? ? ?? shell, manifest 1"],
            "the release's name cannot be written into a boot script",
        ),
        (
            {"cmdline": "quiet || shell"},
            ["echo swarmboot: the kernel command line cannot", "echo 'swarmboot: the kernel command line cannot"],
            "the kernel command line cannot be written into a boot script",
        ),
    ],
)
def test_a_release_published_before_is_shown_safely_or_refused_and_the_seeder_says_so(
    fleet: Fleet, tmp_path: Path, changes: dict[str, str], told: list[str], logged: str
) -> None:
    old = Fleet(tmp_path)
    shutil.copytree(fleet.folder / "keys", tmp_path / "keys")
    shutil.copytree(fleet.site, tmp_path / "site")
    (old.site / "manifests" / "1.swarm").unlink()
    keys = [read_private(old.key)]
    writer = SiteWriter(old.site)
    issue(writer, replace(manifest_of(fleet), **changes), "stable", keys)  # type: ignore[arg-type]
    with serving(old, "--pxe-listen", "127.0.0.1:0") as seeder:
        ipxe, grub, *_ = scripts(seeder, 1).values()
        assert any(logged in line for line in seeder.lines)
    assert told[0] in ipxe
    assert told[1] in grub
    assert "|| shell" not in ipxe


def test_over_ipv6_nodes_and_scripts_name_the_address_of_the_connection(
    fleet: Fleet, release: Path, tmp_path: Path
) -> None:
    here = ["--listen", "[::1]:0", "--pxe-listen", "[::1]:0", "--stage0-trust", "lan"]
    with ExitStack() as stack:
        seeder = stack.enter_context(serving(fleet, *here))
        how = [*asking(seeder, fleet), "--bind", "::1"]
        warm = stack.enter_context(booting(tmp_path, 1, *how, "--linger"))
        warm.report()
        wait_for_stage0_neighbour(seeder)
        told = scripts(seeder, 1)
        assert re.search(r"kernel .* http://\[::1\]:[0-9]+/k/", told["boot.ipxe 52-54"])
        assert re.search(r"linux '\(http,\[::1\]:[0-9]+\)/k/[0-9a-f]+\?mac=", told["grub.cfg 52-54"])
        node = stack.enter_context(booting(tmp_path, 2, *how))
        assert node.end()[0] == 0
        assert node.digests() == fleet.digests(release)
        assert node.report()["bytes_from"]["neighbours"] > 0
