"""Files and arguments that ended in a traceback, or in all of the memory: each is one line and a status of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest

from leecher.boot import hand_off
from leecher.initramfs import node_settings
from leecher.swarm.metadata import check_torrent
from netsim.scenario.toml import read_scenario
from seeder.http.authority import given_certificate, issue_certificate
from seeder.initramfs.kernel import kernel_version
from seeder.publish.release_toml import parse_release_toml
from seeder.publish.stage0 import linux_section, signer
from seeder.site.torrent import PieceHasher, build_torrent, layer_of
from seeder.stage0.rack_map import NODE_IMAGE_MAX_BYTES, node_image, parse_rack_map, read_node_files
from swarmboot.codec import DecodeError, unpack
from swarmboot.errors import (
    BlobError,
    KeyFileError,
    MalformedSettingError,
    ManifestError,
    ReleaseError,
    ResourceError,
    ScenarioError,
    SpaceError,
    SwarmbootError,
)
from swarmboot.release.key_files import read_private, read_trust
from swarmboot.settings import TABLE, build_settings
from swarmboot.text.toml import TomlError, parse_toml
from swarmboot.text.units import parse_duration, parse_rate, parse_size
from tests.support.builders import build_artifact, build_bytes

MANY = "9" * 5000


@pytest.mark.parametrize("data", ["swarmboot-ed25519 é\n".encode(), b"swarmboot-ed25519 \xff\n", b"\0" * 100, b""])
def test_a_public_key_file_that_is_not_ascii_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "fleet.pub").write_bytes(data)
    with pytest.raises(KeyFileError, match=r"fleet\.pub"):
        read_trust([tmp_path / "fleet.pub"])


@pytest.mark.parametrize("name", ["é", "²" * 43 + "="])
def test_a_public_key_in_other_letters_is_no_key(tmp_path: Path, name: str) -> None:
    (tmp_path / "fleet.pub").write_text(f"swarmboot-ed25519 {name}\n")
    with pytest.raises(KeyFileError, match="line 1, is no public key"):
        read_trust([tmp_path / "fleet.pub"])


@pytest.mark.parametrize("text", [MANY, "inf", "nan", "1e400", "-1", "²", "", "9" * 15 + "x"])
@pytest.mark.parametrize("parse", [parse_duration, parse_rate, parse_size])
def test_a_number_that_nothing_can_be_is_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(MalformedSettingError) as refused:
        parse(text)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("parse", "text"),
    [(parse_duration, "9" * 15 + "d"), (parse_rate, "9" * 15 + "gbit"), (parse_size, "9" * 15 + "TiB")],
)
def test_a_number_beyond_what_system_calls_take_is_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(MalformedSettingError, match="at most"):
        parse(text)


@pytest.mark.parametrize("text", [MANY, f"10.0.0.7:{MANY}", "²", "\0", "1e400", "inf", "nan", "\ud800", "x" * 10_000])
@pytest.mark.parametrize("name", [setting.name for setting in TABLE])
def test_any_setting_takes_any_text_or_refuses_it_in_one_short_line(name: str, text: str) -> None:
    said = ""
    try:
        build_settings({name: text})
    except SwarmbootError as error:
        said = str(error)
    assert len(said) < 600
    assert said.isprintable()


DEEP = [
    "a = " + "[" * 5000 + "]" * 5000,
    "a = " + "{b = " * 500 + "1" + "}" * 500,
    ".".join("a" * 100_000) + " = 1",
    "[" + ".".join("a" * 100_000) + "]",
    "[[profiles]]\nname = " + "[" * 300 + "]" * 300,
]


@pytest.mark.parametrize(
    "text", [*DEEP, f"a = {MANY}", f"a = 0x{'f' * 20000}", "a = inf", "a = nan", "a = 1e400", "a = 1979-99-99"]
)
def test_toml_that_ends_others_in_a_traceback_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TomlError):
        parse_toml(text)
    with pytest.raises(ReleaseError) as refused:
        parse_release_toml(text, where="release.toml")
    (tmp_path / "scenario.toml").write_text(text)
    with pytest.raises(ScenarioError):
        read_scenario(tmp_path / "scenario.toml")
    assert len(str(refused.value)) < 400


def test_a_release_toml_of_a_million_empty_lines_takes_no_time() -> None:
    with pytest.raises(ReleaseError, match="colour is no key"):
        parse_release_toml("\n" * 1_000_000 + "colour = 1\n", where="release.toml")


@pytest.mark.parametrize(
    "text",
    ["nodes = 99999999999", "[faults.kill]\n" + MANY + " = 1", "[network]\ngoodput = -0.0", "[faults]\ndead = 'nan'",
     "verify = '1e400'", "[phases]\nkernel = 'lognormal 1s " + "9" * 400 + "'"],
)  # fmt: skip
def test_a_scenario_with_an_impossible_number_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "scenario.toml").write_text(text)
    with pytest.raises(ScenarioError):
        read_scenario(tmp_path / "scenario.toml")


def nested(depth: int) -> bytes:
    """Return msgpack lists in one another, each of which says that it has a million items."""
    return b"\xdd\x00\x0f\xff\xff" * depth + b"\xc0" * 1000


@pytest.mark.parametrize("data", [nested(500), b"\x91" * 100_000 + b"\xc0", b"\xdf\xff\xff\xff\xff", b"\x81\xc0\xc0"])
def test_msgpack_that_claims_much_or_nests_deep_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        unpack(data, max_bytes=1 << 20)


def test_nested_claims_of_msgpack_take_no_memory() -> None:
    code = (
        "import resource\n"
        "from swarmboot.codec import DecodeError, unpack\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20),) * 2)\n"
        "data = b'\\xdd\\x00\\x0f\\xff\\xff' * 500 + b'\\xc0' * ((1 << 20) - 2500)\n"
        "try:\n    unpack(data, max_bytes=1 << 20)\nexcept DecodeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "exceeds max_array_len(65536)" in done.stdout, done.stderr


def torrent_parts() -> tuple[Any, int]:
    data = build_bytes(100_000)
    hasher = PieceHasher(1 << 14)
    hasher.update(data)
    return lt.bdecode(build_torrent(hasher.finish()).data), len(data)


@pytest.mark.parametrize("layers", [b"bytes", 7, [b"x"], {b"x": 7}, {b"x" * 32: b"short"}, {}])
def test_piece_layers_that_are_no_map_of_hashes_are_refused(layers: object) -> None:
    decoded, size_bytes = torrent_parts()
    whole = build_torrent_from(decoded)
    artifact = build_artifact(size_bytes=size_bytes, piece_bytes=1 << 14, info_hash=whole[1])
    changed: Any = {**decoded, b"piece layers": layers}
    altered = lt.bencode(changed)
    with pytest.raises(ManifestError, match="not the one that was signed"):
        check_torrent(artifact, altered)
    if not isinstance(layers, dict) or 7 in layers.values():
        with pytest.raises(BlobError, match="no map of hashes"):
            layer_of(altered)


def build_torrent_from(decoded: Any) -> tuple[bytes, bytes]:
    data = lt.bencode(decoded)
    return data, lt.load_torrent_buffer(data).info_hashes.v2.to_bytes()


@pytest.mark.parametrize("data", [b"", b"d" * 5000, b"i" + MANY.encode() + b"e", b"l" * 200 + b"e" * 200, b"4:info"])
def test_bencode_that_is_no_torrent_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        check_torrent(build_artifact(), data)


HEADERS = [
    b"MZ" + bytes(58) + b"\x40\x00\x00\x00" + b"PE\0\0",
    b"MZ" + bytes(58) + b"\xff\xff\xff\xff",
    b"MZ" + bytes(58) + b"\x40\x00\x00\x00" + b"PE\0\0" + b"\x64\x86\xff\xff" + bytes(12) + b"\xff\xff",
    bytes(0x202) + b"HdrS",
    bytes(0x202) + b"HdrS" + bytes(8) + b"\xff\xff",
]


@pytest.mark.parametrize("head", HEADERS, ids=range(len(HEADERS)))
def test_a_kernel_whose_headers_end_early_is_of_no_known_version(head: bytes) -> None:
    assert kernel_version(head) == ""
    assert linux_section(head) == 0


@pytest.mark.parametrize("data", [b"", b"\xff", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_keys_and_certificates_that_are_none_are_refused(tmp_path: Path, data: bytes) -> None:
    for name in ("ca.pem", "ca.key", "stage0.key", "stage0.crt", "swarmboot.key"):
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
    for refuse in (
        lambda: issue_certificate(tmp_path, ["127.0.0.1"]),
        lambda: given_certificate(tmp_path / "ca.pem", tmp_path / "ca.key"),
        lambda: signer(tmp_path),
        lambda: read_private(tmp_path / "swarmboot.key"),
    ):
        with pytest.raises(KeyFileError):
            refuse()


@pytest.mark.parametrize("text", ["[" * 100_000, "{}", "[]", '{"images": [{"x": 1}]}', '{"images": 7}', "nan", ""])
def test_a_handover_that_the_boot_has_not_written_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / hand_off.FACTS).write_text(text)
    with pytest.raises(ResourceError, match=r"handover\.json is not what the boot has written"):
        hand_off.read(tmp_path)


def test_a_file_beside_the_initramfs_that_is_no_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_settings, "BAKED", tmp_path)
    (tmp_path / "node").write_bytes(b"rack=\xff\xfe\n")
    with pytest.raises(SwarmbootError, match=r"swarmboot\.rack"):
        node_settings.settings_of({})  # which main() calls first, and after it clock and network


@pytest.mark.parametrize("pattern", ["10.0.0.0/" + MANY, "::/" + MANY, "²/8", "\0", MANY])
def test_a_rack_map_with_an_impossible_network_is_refused_in_one_short_line(pattern: str) -> None:
    with pytest.raises(MalformedSettingError) as refused:
        parse_rack_map(f"{pattern} r1\n", where="racks")
    assert len(str(refused.value)) < 300


def test_node_files_follow_no_link_and_wait_for_no_pipe(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "nodes"
    (outside / "etc").mkdir(parents=True)
    (outside / "etc/secret").write_text("secret")
    (folder / "default").mkdir(parents=True)
    (folder / "default/hostname").write_text("node")
    (folder / "default/etc").symlink_to(outside / "etc")
    (folder / "default/passwd").symlink_to(outside / "etc/secret")
    (folder / "52-54-00-12-34-56").symlink_to(outside)
    os.mkfifo(folder / "default/pipe")
    assert read_node_files(folder, "52:54:00:12:34:56") == {"hostname": (0o644, b"node")}


def test_a_node_file_that_grows_is_bounded_and_one_with_an_odd_name_is_packed(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / os.fsdecode(b"odd\xff")).write_bytes(b"x")
    assert b"odd\xff\0" in node_image(read_node_files(tmp_path, "52:54:00:12:34:56"))
    with (tmp_path / "default/large").open("wb") as file:
        file.truncate(NODE_IMAGE_MAX_BYTES + 1)
    with pytest.raises(SpaceError):
        read_node_files(tmp_path, "52:54:00:12:34:56")
