"""Lines that a node hands in, and the answer, as bytes: whole or refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.codec import DecodeError, pack
from swarmboot.ids import NodeId, NodeKey
from swarmboot.wire.node_log import (
    LINES_MAX,
    LOG_MAX_BYTES,
    SOURCES,
    TEXT_MAX,
    NodeLines,
    Said,
    Taken,
    decode_lines,
    decode_taken,
    encode_lines,
    encode_taken,
)

NODE, KEY = NodeId(bytes(16)), NodeKey(bytes(range(16)))
FIELDS = {"node": NODE, "key": KEY, "marks": b"\x06", "ages": [1500], "texts": ["eth0: link up"]}


def test_lines_and_answers_come_back_as_they_were() -> None:
    lines = tuple(Said(f"line {source}", severity, source, 1.5) for source in SOURCES for severity in range(8))
    said = NodeLines(NODE, lines, KEY)
    assert decode_lines(encode_lines(said)) == said
    assert decode_taken(encode_taken(Taken(3, 1.5))) == Taken(3, 1.5)


def test_the_key_is_not_shown() -> None:
    assert KEY.hex() not in repr(NodeLines(NODE, (), KEY))


def test_the_longest_lines_that_a_sender_makes_are_taken() -> None:
    said = NodeLines(NODE, (Said("x" * 5000, 6, "kernel", -1.0),), KEY)
    assert decode_lines(encode_lines(said)).lines == (Said("x" * TEXT_MAX, 6, "kernel", 0.0),)


@pytest.mark.parametrize(
    "change",
    [
        {"marks": b""},
        {"marks": b"\x18"},
        {"marks": b"\x06\x06"},
        {"ages": [-1]},
        {"ages": [True]},
        {"ages": [0.5]},
        {"ages": []},
        {"texts": [b"bytes"]},
        {"texts": ["x" * (TEXT_MAX + 1)]},
        {"node": b"short"},
        {"key": b"short"},
        {"marks": bytes(LINES_MAX + 1), "ages": [0] * (LINES_MAX + 1), "texts": [""] * (LINES_MAX + 1)},
        {"texts": ["x" * LOG_MAX_BYTES]},
    ],
)
def test_what_is_not_of_its_form_is_refused(change: dict[str, object]) -> None:
    decode_lines(pack(FIELDS))
    with pytest.raises(DecodeError):
        decode_lines(pack({**FIELDS, **change}))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    for decode in (decode_lines, decode_taken):
        with suppress(DecodeError):
            decode(data)
