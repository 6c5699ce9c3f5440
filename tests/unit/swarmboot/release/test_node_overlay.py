"""The image of nodes' overlays: what was put in comes out, and nothing else is obeyed."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.codec import DecodeError, pack
from swarmboot.errors import ManifestError
from swarmboot.release import node_overlay
from swarmboot.release.node_overlay import (
    MAX_FILES,
    Host,
    NodeFile,
    NodeOverlays,
    decode_files,
    decode_overlays,
    encode_files,
    encode_overlays,
    leads_inside,
)

MAC = "52:54:00:12:34:56"
OVERLAYS = NodeOverlays(
    {
        "default": (NodeFile("etc/motd", data=b"hello\n"), NodeFile("etc/x", target="../usr/x")),
        "52-54-00-12-34-56": (NodeFile("usr/local/bin/t", 0o755, b"#!/bin/sh\n", is_template=True),),
        "rack=r12": (),
    },
    {MAC: Host("web-1", "r12", "gpu", "10.0.0.5", {"ROLE": "web"})},
    "node-{mac_dashes}",
)


def packed(**changes: Any) -> bytes:
    return gzip.compress(pack({"format": 1, "hostname": "", "hosts": {}, "layers": {}, **changes}))


def test_what_was_encoded_comes_back_and_twice_the_same_bytes() -> None:
    assert decode_overlays(encode_overlays(OVERLAYS)) == OVERLAYS
    assert encode_overlays(OVERLAYS) == encode_overlays(OVERLAYS)
    files = OVERLAYS.layers["default"]
    assert decode_files(encode_files(files)) == files


FILE = {"path": "etc/x", "mode": 0o644, "data": b""}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "format 2, this version knows 1"),
        ({"layers": {"etc": []}}, "a name that is none of a layer"),
        ({"layers": {"default": [{**FILE, "path": "../etc/x"}]}}, "not a plain path"),
        ({"layers": {"default": [{**FILE, "path": "/etc/x"}]}}, "not a plain path"),
        ({"layers": {"default": [{**FILE, "path": "etc//x"}]}}, "not a plain path"),
        ({"layers": {"default": [{**FILE, "mode": 0o4755}]}}, "mode is not an integer"),
        ({"layers": {"default": [{**FILE, "mode": 0o666}]}}, "has mode 0666"),
        ({"layers": {"default": [FILE, FILE]}}, "one is there twice"),
        ({"layers": {"default": [{"path": "etc/x", "link": "../../x"}]}}, "leads out of the root"),
        ({"hosts": {"web-1": {}}}, "no MAC address"),
        ({"hosts": {MAC: {"name": "a/b"}}}, "no host name"),
        ({"crit": ["later"]}, "needs later"),
        ({"layers": []}, "not a map"),
    ],
)
def test_what_may_not_be_there_is_not_obeyed(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        decode_overlays(packed(**changes))


def test_an_image_that_swells_beyond_its_bound_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_overlay, "OVERLAYS_MAX_BYTES", 1000)
    with pytest.raises(ManifestError, match="more than 1000 bytes unpacked"):
        decode_overlays(gzip.compress(bytes(100_000)))


@given(st.binary(max_size=200) | st.binary(max_size=200).map(gzip.compress))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        decode_overlays(data)


@given(st.binary(max_size=100))
def test_no_bytes_in_the_hand_off_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_files(data)


@pytest.mark.parametrize(
    ("path", "target", "is_inside"),
    [
        ("etc/localtime", "/usr/share/zoneinfo/UTC", True),
        ("etc/localtime", "../usr/share/zoneinfo/UTC", True),
        ("etc/a/b", "../../x", True),
        ("etc/a", "../../x", False),
        ("a", "..", False),
        ("a", "/..", False),
        ("a/b", "c/../../../d", False),
        ("a", "", False),
        ("a", "b\n", False),
    ],
)
def test_a_link_climbs_nowhere_above_the_root(path: str, target: str, is_inside: bool) -> None:
    assert leads_inside(path, target) is is_inside


def test_a_node_with_several_full_layers_gets_all_of_their_files() -> None:
    files = tuple(NodeFile(f"etc/{number:05}") for number in range(2 * MAX_FILES))
    assert decode_files(encode_files(files)) == files
