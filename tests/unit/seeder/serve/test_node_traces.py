"""Which traces that nodes hand in are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from seeder.policy.facts.registry import Registry
from seeder.serve.guard import Guard
from seeder.serve.node_traces import KEPT_MAX, TracesTaken, kept
from seeder.site.catalogue import Catalogue
from swarmboot.codec import DecodeError
from swarmboot.ids import NodeId, Sequence
from swarmboot.wire.trace_report import TEXT_MAX_BYTES, NodeTrace, decode_trace, encode_trace
from tests.support.builders import build_manifest

NODE = NodeId(bytes(16))
MANIFEST = build_manifest()
IMAGE = next(each for each in MANIFEST.artifacts if each.is_mounted)


@pytest.fixture
def traces(tmp_path: Path) -> TracesTaken:
    registry = Registry()
    return TracesTaken(tmp_path, registry, Catalogue(tmp_path, registry), Guard(), tell=lambda _: None)


def said(text: str, sequence: int = 7) -> NodeTrace:
    return NodeTrace(NODE, sequence, text)


@pytest.mark.parametrize(
    ("text", "sequence"),
    [
        ("", 7), ("junk\n", 7), ("other.squashfs 0 1\n", 7), (f"{IMAGE.name} {IMAGE.size_bytes} 1\n", 7),
        (f"{IMAGE.name} 0 1\n", 8), (f"{IMAGE.name} 0 1 /etc/passwd\n", 7), ("x" * TEXT_MAX_BYTES, 7),
    ],
)  # fmt: skip
def test_what_is_no_trace_of_what_is_served_is_refused(
    traces: TracesTaken, tmp_path: Path, text: str, sequence: int
) -> None:
    with pytest.raises(DecodeError):
        traces.keep(said(text, sequence), {Sequence(7): MANIFEST})
    assert kept(tmp_path) == []


def test_one_a_manifest_is_kept_of_the_newest_only(traces: TracesTaken, tmp_path: Path) -> None:
    manifests = {Sequence(n): replace(MANIFEST, sequence=Sequence(n)) for n in range(1, KEPT_MAX + 3)}
    for number in manifests:
        assert traces.keep(said(f"{IMAGE.name} 0 1\n# a comment\n{IMAGE.name} 5 1\n", number), manifests) == 2
    assert kept(tmp_path) == list(range(KEPT_MAX + 2, 2, -1))
    assert (tmp_path / "traces" / "5").read_text() == f"# swarmboot trace\n{IMAGE.name} 0 1\n{IMAGE.name} 5 1\n"


def test_what_is_longer_than_a_seeder_takes_is_no_body() -> None:
    assert decode_trace(encode_trace(said("x" * TEXT_MAX_BYTES))).text == "x" * TEXT_MAX_BYTES
    with pytest.raises(DecodeError):
        decode_trace(encode_trace(said("x" * (TEXT_MAX_BYTES + 1))))
