"""What a node's kernel and programs have said, handed to the seeder over `POST /log`: msgpack, bounded.

Lines go up, oldest first; how many of them were taken comes back, and after how long the next may follow. Pure: bytes
to values and back; DecodeError for anything else. Nothing here makes a line fit to be shown: that is the reader's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.ids import NODE_ID_BYTES, NODE_KEY_BYTES, NodeId, NodeKey

LOG_PATH = "/log"
LINES_MAX, TEXT_MAX = 512, 1024
LOG_MAX_BYTES = 48 << 10
TAKEN_MAX_BYTES = 256
SOURCES = ("kernel", "system", "swarmboot")
"""Who said a line: the kernel, a program that writes to its log, or swarmboot."""

AFTER_MAX_S = 600.0
_AGE_MAX_MS = 2**48
_SEVERITIES = 8


@dataclass(frozen=True, slots=True)
class Said:
    """A line, how much it matters (0 to 7, RFC 5424), who said it, and how long ago, in seconds."""

    text: str
    severity: int
    source: str
    age_s: float


@dataclass(frozen=True, slots=True)
class NodeLines:
    """Lines of one node. `node` and `key` are those of its announces (`swarmboot.wire.announce`)."""

    node: NodeId
    lines: tuple[Said, ...]
    key: NodeKey = field(default=NodeKey(b""), repr=False)


@dataclass(frozen=True, slots=True)
class Taken:
    """So many of the lines, the first ones, are kept; the others and new ones may come after so many seconds."""

    lines: int
    after_s: float


def encode_lines(said: NodeLines) -> bytes:
    """Return lines as the body of a request: a list of texts, one of ages in milliseconds, a byte each for the rest."""
    marks = bytes(SOURCES.index(each.source) << 3 | each.severity for each in said.lines)
    ages = [min(_AGE_MAX_MS, max(0, int(each.age_s * 1000))) for each in said.lines]
    texts = [each.text[:TEXT_MAX] for each in said.lines]
    return pack({"node": said.node, "key": said.key, "marks": marks, "ages": ages, "texts": texts})


def decode_lines(data: bytes) -> NodeLines:
    """Return the lines in a request's body; raise DecodeError otherwise."""
    fields = Fields(unpack(data, max_bytes=LOG_MAX_BYTES), "log")
    marks = fields.raw("marks", most=LINES_MAX)
    texts = fields.texts("texts", most=LINES_MAX, each=TEXT_MAX)
    ages = fields.items("ages", most=LINES_MAX)
    if not len(marks) == len(texts) == len(ages):
        raise DecodeError("log has not as many marks and ages as texts")
    if any(mark >= len(SOURCES) * _SEVERITIES for mark in marks):
        raise DecodeError("log.marks names a source that there is not")
    return NodeLines(
        NodeId(fields.raw("node", exactly=NODE_ID_BYTES)),
        tuple(_said(*each) for each in zip(texts, marks, _ages_s(ages), strict=True)),
        NodeKey(fields.raw_or_none("key", exactly=NODE_KEY_BYTES)),
    )


def _said(text: str, mark: int, age_s: float) -> Said:
    return Said(text, mark % _SEVERITIES, SOURCES[mark // _SEVERITIES], age_s)


def _ages_s(values: Sequence[object]) -> list[float]:
    if not all(type(value) is int and 0 <= value <= _AGE_MAX_MS for value in values):
        raise DecodeError("log.ages is not a list of milliseconds")
    return [value / 1000.0 for value in values if isinstance(value, int)]


def encode_taken(taken: Taken) -> bytes:
    """Return the answer's body."""
    return pack({"lines": taken.lines, "after": taken.after_s})


def decode_taken(data: bytes) -> Taken:
    """Return what an answer says; raise DecodeError otherwise."""
    fields = Fields(unpack(data, max_bytes=TAKEN_MAX_BYTES), "taken")
    return Taken(fields.integer("lines", most=LINES_MAX), fields.number("after", most=AFTER_MAX_S))
