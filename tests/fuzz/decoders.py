"""Every decoder that faces the network or a file: bytes in, a value or one of its own errors out.

`tests/unit/test_fuzz.py` gives them random bytes, and bytes that were good once; `python -m tests.fuzz` gives them what
a coverage-guided fuzzer thinks of. What decodes must encode to what decodes to the same.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import libtorrent as lt

from leecher.boot.hand_off import environment_text
from leecher.initramfs.node_settings import node_settings, parse_node_file
from leecher.machine import addresses as netlink
from leecher.swarm.metadata import check_torrent
from netsim.scenario.toml import parse_scenario
from seeder.boot_script.grammar import parse_mac
from seeder.initramfs.compressed import compression_of, decompressed
from seeder.initramfs.kernel import kernel_version, pe_machine, pe_sections
from seeder.program import parse_program
from seeder.publish.env_file import parse_env
from seeder.publish.release_toml import parse_release_toml
from seeder.publish.stage0 import linux_section
from seeder.site.torrent import PieceHasher, build_torrent, info_hash_of, layer_of
from seeder.stage0.rack_map import parse_rack_map
from swarmboot.archive import Stream, cpio_entries, tar_entries
from swarmboot.codec import DecodeError, pack, unpack
from swarmboot.crypto import fleet_token
from swarmboot.errors import (
    BlobError,
    EscapeError,
    KeyFileError,
    MalformedSettingError,
    ManifestError,
    ReleaseError,
    ScenarioError,
    SettingsError,
    TrustError,
)
from swarmboot.ids import Digest, InfoHash, LeaseId, NodeId, PieceIndex, Sequence
from swarmboot.release import canary, manifest, node_overlay, trust
from swarmboot.release.manifest import Profile
from swarmboot.text import addresses, units
from swarmboot.text.toml import TomlError
from swarmboot.wire import about, announce, private, report
from swarmboot.wire.discovery import Presence, Probe, decode_datagram, encode_presence, encode_probe
from tests.support.builders import build_artifact, build_bytes, build_key_set, build_keys, build_manifest, build_plugin

T = TypeVar("T")
LONGEST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Decoder:
    """One decoder: how to call it, which errors are its own, and bytes that it takes."""

    name: str
    call: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]

    def try_bytes(self, data: bytes) -> bool:
        """Return whether the bytes were taken; any error that is not the decoder's own comes out."""
        try:
            self.call(data)
        except self.errors as error:
            said = str(error)
            if len(said) > 3000:
                raise AssertionError(f"{self.name} says {len(said)} characters") from error
            return False
        return True


def _twice(decode: Callable[[bytes], T], encode: Callable[[T], bytes]) -> Callable[[bytes], object]:
    """Return a call that decodes, and holds that what it encodes to decodes to the same."""

    def call(data: bytes) -> object:
        value = decode(data)
        encoded = encode(value)
        if encode(decode(encoded)) != encoded:
            raise AssertionError("what was decoded does not come back")
        return value

    return call


def _of_text(call: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: call(data.decode("utf-8", "replace"))


def _encode_datagram(value: Probe | Presence) -> bytes:
    return encode_probe(value) if isinstance(value, Probe) else encode_presence(value)


_NODE, _HASH = NodeId(bytes(range(16))), InfoHash(bytes(range(32)))
_KEYS = build_key_set(1, 2, threshold=1)
_CANARY = canary.encode_canary(
    canary.Canary(fleet="test", channel="stable", source="edge", macs=("52:54:*",), racks=("r1",), share_ppm=50_000)
)
_CHANNEL = trust.Channel("test", "stable", Sequence(7), bytes(32), 1_800_000_000)
_ANNOUNCE = announce.Announce(
    _NODE, Sequence(7), announce.NodeState.FETCHING, 6881, 8471, rack="r1", have={_HASH: b"\x01"}, free_lease_slots=4,
    received=(LeaseId(1),), returned=(LeaseId(2),), is_starving=True, from_neighbours_bytes=5, from_origin_bytes=6,
    about=about.About(mac="52:54:00:00:00:01", name="n1", channel="stable", kernel="6.1.0"),
)  # fmt: skip
_HANDOUT = announce.Handout(
    1.5, (announce.Neighbour("10.0.0.7", 6881, 8471),), (announce.Lease(LeaseId(1), _HASH, PieceIndex(0), 4, 0),),
    ("https://10.0.0.1:8470",), True, 2.0, True, (announce.Neighbour("10.0.0.8", 6881, 8471),), 1e8,
)  # fmt: skip
_MANIFEST = build_manifest(
    artifacts=(build_artifact(), build_plugin("10-a.squashfs"), build_artifact("nodes.gz", role=manifest.Role.NODES)),
    node_secrets={"default": Digest(bytes(32))},
    env={"A": "1"},
    profiles=(Profile("gpu", ("52:54:00:*",), {"sys_vendor": "*"}, ("10-a.squashfs",), {"B": "2"}, "quiet"),),
    allow=("setuid",),
)


_OWN_FILES = (
    node_overlay.NodeFile("etc/a", data=b"{mac}", is_template=True),
    node_overlay.NodeFile("etc/b", target="a"),
)
_OVERLAYS = node_overlay.NodeOverlays(
    {"default": _OWN_FILES},
    {"52:54:00:00:00:01": node_overlay.Host("n1", "r1", "gpu", "10.0.0.5", {"A": "1"})},
    "node-{mac_dashes}",
)


def _rotation() -> bytes:
    return trust.sign(
        trust.Kind.KEYS, trust.encode_key_set(build_key_set(2, 3, version=2, threshold=2)), build_keys(1, 2, 3)
    )


def _channel_file() -> bytes:
    pointer = trust.sign(trust.Kind.CHANNEL, trust.encode_channel(_CHANNEL), build_keys(2, 3))
    return trust.encode_channel_file(pointer, [_rotation()])


def _hashes() -> Any:
    hasher = PieceHasher(1 << 14)
    hasher.update(build_bytes(100_000))
    return hasher.finish()


_TORRENT = build_torrent(_hashes())
_ARTIFACT = build_artifact(size_bytes=100_000, piece_bytes=1 << 14, info_hash=_TORRENT.info_hash)


def _torrent(data: bytes) -> object:
    info_hash_of(data, where="x.torrent")
    return layer_of(data)


def _layers(data: bytes) -> object:
    """Give the bytes to the node as piece layers of a torrent whose info is right."""
    decoded: Any = lt.bdecode(_TORRENT.data)
    layers: Any = lt.bdecode(data)
    altered = lt.bencode({**decoded, b"piece layers": layers if layers is not None else data})
    check_torrent(_ARTIFACT, altered)
    return None


def _read_all(entries: Any) -> int:
    count = 0
    for entry in entries:
        while entry.read is not None and entry.read(1 << 16):
            pass
        count += 1
    return count


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for kind in (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo("etc/" + "x" * 120)
            member.type, member.linkname, member.mtime = kind, "etc/motd", 1.5
            member.pax_headers = {"SCHILY.xattr.security.capability": "x" * 20}
            member.size = 5 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"hello"))
    return file.getvalue()


def _cpio() -> bytes:
    parts = []
    for name, mode, data in (("etc", stat.S_IFDIR, b""), ("etc/motd", stat.S_IFREG, b"hi"), ("l", stat.S_IFLNK, b"etc"),
                             ("c", stat.S_IFCHR, b""), ("TRAILER!!!", 0, b"")):  # fmt: skip
        raw = name.encode() + b"\0"
        numbers = (7, mode | 0o644, 0, 0, 2, 1, len(data), 0, 0, 1, 3, len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % number for number in numbers) + raw
        parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]
    return b"".join(parts)


def _kernel(data: bytes) -> object:
    return kernel_version(data), linux_section(data), pe_machine(data), pe_sections(data), parse_program(data)


def _elf() -> bytes:
    """Return a program that names an interpreter, as far as it is looked at."""
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1) + bytes(6)
    return header + struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, 8, 8, 1) + b"/lib/ld\0"


def _compressed(data: bytes) -> object:
    """Read what is compressed in bytes as the first of them says, unless that takes a program of its own."""
    kind = compression_of(data)
    if kind not in ("gzip", "xz", "lzma", "bzip2"):
        return None
    with decompressed(Stream(io.BytesIO(data), "x"), kind, label="x") as file:
        return [entry.name for entry in cpio_entries(file, name="x")]


def _numbers(text: str) -> object:
    found: list[object] = []
    for parse in (units.parse_duration, units.parse_rate, units.parse_size):
        try:
            found.append(parse(text))
        except MalformedSettingError as error:
            found.append(str(error))
    return found


def _hosts(text: str) -> object:
    for read in (addresses.read_address, addresses.read_host, addresses.split_host_port):
        try:
            read(text)
        except ValueError:
            continue
    return parse_mac(text)


def _env(text: str) -> object:
    settings = parse_env(text, where="x.env")
    if any("\n" in value or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name, value in settings.items()):
        raise AssertionError("a setting that is no line")
    return environment_text("", settings)


def _token(text: str) -> object:
    fleet_token.parse_proof(text)
    fleet_token.decode_credentials(text)
    return fleet_token.parse_tokens(text, where="token")


_CMDLINE = 'swarmboot.server=https://10.0.0.1:8470 quiet swarmboot.rack=r1 swarmboot.up="200mbit" swarmboot.floor=41'
_RELEASE_TOML = (
    b'name = "debian"\ncmdline = "quiet"\nallow = ["setuid"]\n[[profiles]]\nname = "gpu"\nmacs = ["52:54:00:*"]\n'
)
_SCENARIO = b'nodes = 5\n[release]\nimages = ["1GB"]\n[phases]\nkernel = "lognormal 8s 0.5"\n[faults.kill]\n3 = "5s"\n'

DECODERS: tuple[Decoder, ...] = (
    Decoder(
        "msgpack",
        _twice(lambda data: unpack(data, max_bytes=1 << 20), pack),
        (DecodeError,),
        (pack({"a": [1.5, None]}),),
    ),
    Decoder("envelope", lambda data: trust.verify(data, trust.Kind.KEYS, _KEYS), (TrustError,), (_rotation(),)),
    Decoder("channel file", lambda data: trust.open_channel_file(data, _KEYS), (TrustError,), (_channel_file(),)),
    Decoder(
        "channel",
        _twice(trust.decode_channel, trust.encode_channel),
        (ManifestError,),
        (trust.encode_channel(_CHANNEL),),
    ),
    Decoder("canary", _twice(canary.decode_canary, canary.encode_canary), (ManifestError,), (_CANARY,)),
    Decoder(
        "key set", _twice(trust.decode_key_set, trust.encode_key_set), (ManifestError,), (trust.encode_key_set(_KEYS),)
    ),
    Decoder("manifest", _twice(manifest.decode, manifest.encode), (ManifestError,), (manifest.encode(_MANIFEST),)),
    Decoder(
        "nodes' overlays",
        lambda data: node_overlay.encode_overlays(node_overlay.decode_overlays(gzip.compress(data))),
        (ManifestError,),
        (gzip.decompress(node_overlay.encode_overlays(_OVERLAYS)),),
    ),
    Decoder(
        "a node's own files",
        _twice(node_overlay.decode_files, node_overlay.encode_files),
        (DecodeError,),
        (node_overlay.encode_files(_OWN_FILES),),
    ),
    Decoder(
        "announce",
        _twice(announce.decode_announce, announce.encode_announce),
        (DecodeError,),
        (announce.encode_announce(_ANNOUNCE),),
    ),
    Decoder(
        "handout",
        _twice(announce.decode_handout, announce.encode_handout),
        (DecodeError,),
        (announce.encode_handout(_HANDOUT),),
    ),
    Decoder(
        "datagram",
        _twice(decode_datagram, _encode_datagram),
        (DecodeError,),
        (
            encode_probe(Probe(_NODE, (bytes(16),))),
            encode_presence(Presence(_NODE, Sequence(7), 6881, 8471)),
        ),
    ),
    Decoder(
        "report",
        _twice(report.decode_report, report.encode_report),
        (DecodeError,),
        (report.encode_report(report.BootReport(_NODE.hex(), report.BOOTED, 7, phases={"manifest": 0.5})),),
    ),
    Decoder(
        "secrets wanted",
        _twice(private.decode_secrets_wanted, private.encode_secrets_wanted),
        (DecodeError,),
        (private.encode_secrets_wanted(_ARTIFACT.sha256),),
    ),
    Decoder(
        "files wanted",
        private.decode_files_wanted,
        (DecodeError,),
        (private.encode_files_wanted(frozenset({"52:54:00:12:34:56"})),),
    ),
    Decoder(
        "files",
        _twice(private.decode_files, private.encode_files),
        (DecodeError,),
        (private.encode_files({"etc/hostname": (0o644, b"node")}),),
    ),
    Decoder("fleet token", _of_text(_token), (KeyFileError,), (b"x" * 32, b"0" * 32 + b":" + b"0" * 64)),
    Decoder(
        "public keys",
        _of_text(lambda text: trust.parse_public(text, where="x.pub")),
        (KeyFileError,),
        (b"threshold 2\n" + trust.format_public(_KEYS.keys.values()).encode(),),
    ),
    Decoder("command line", _of_text(lambda text: node_settings(text, {}, {})), (SettingsError,), (_CMDLINE.encode(),)),
    Decoder(
        "node file",
        _of_text(lambda text: node_settings("", parse_node_file(text, where="node"), {})),
        (SettingsError,),
        (b"rack=r12\nprofile=gpu\nseed=200mbit\n",),
    ),
    Decoder("units", _of_text(_numbers), (), (b"1.5GB/s", b"2min", b"64MiB")),
    Decoder("addresses", _of_text(_hosts), (), (b"[2001:db8::1]:8471", b"10.0.0.7:8471", b"52-54-00-12-34-56")),
    Decoder("server", _of_text(addresses.read_server), (MalformedSettingError,), (b"https://[2001:db8::1]:8470/a",)),
    Decoder(
        "release.toml", _of_text(lambda text: parse_release_toml(text, where="x")), (ReleaseError,), (_RELEASE_TOML,)
    ),
    Decoder("scenario", _of_text(parse_scenario), (ScenarioError, TomlError), (_SCENARIO,)),
    Decoder("env file", _of_text(_env), (ReleaseError,), (b"# x\nA=1\nB='a b'\n",)),
    Decoder(
        "rack map",
        _of_text(lambda text: parse_rack_map(text, where="x").place("52:54:00:12:34:56", "10.0.0.7")),
        (MalformedSettingError,),
        (b"52:54:00:* r12 gpu\n10.0.0.0/8 r1\n2001:db8::/32 r2\n",),
    ),
    Decoder("torrent", _torrent, (BlobError,), (_TORRENT.data,)),
    Decoder("signed torrent", lambda data: check_torrent(_ARTIFACT, data), (ManifestError,), (_TORRENT.data,)),
    Decoder("piece layers", _layers, (ManifestError, RuntimeError), (b"d1:xi1ee",)),
    Decoder(
        "kernel",
        _kernel,
        (),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0" + bytes(100), bytes(0x202) + b"HdrS" + bytes(600), _elf()),
    ),
    Decoder(
        "tar", lambda data: _read_all(tar_entries(io.BytesIO(data), name="x")), (ReleaseError, EscapeError), (_tar(),)
    ),
    Decoder(
        "cpio",
        lambda data: _read_all(cpio_entries(io.BytesIO(data), name="x")),
        (ReleaseError, EscapeError),
        (_cpio(),),
    ),
    Decoder(
        "netlink",
        lambda data: list(netlink.parse(data)),
        (),
        (b"\x24\0\0\0\x14\0\0\0" + bytes(8) + b"\2\0\0\0\1\0\0\0\x08\0\1\0\x0a\0\0\1" + bytes(4),),
    ),
    Decoder(
        "compressed",
        _compressed,
        (ReleaseError, EscapeError),
        (gzip.compress(_cpio(), mtime=0), lzma.compress(_cpio()), bz2.compress(_cpio())),
    ),
)
"""All of them, in an order that never changes: a fuzzer's first byte chooses one. New ones come last."""
