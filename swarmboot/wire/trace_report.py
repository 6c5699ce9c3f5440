"""What a boot has read of its images, handed to the seeder over `POST /trace`: msgpack, bounded.

Pure: bytes to a value and back; DecodeError for anything else. What the text says is for who reads it to check.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmboot.codec import Fields, pack, unpack
from swarmboot.ids import MAX_SEQUENCE, NODE_ID_BYTES, NODE_KEY_BYTES, NodeId, NodeKey

TRACE_PATH = "/trace"
TEXT_MAX_BYTES = 1 << 20
TRACE_MAX_BYTES = TEXT_MAX_BYTES + 1024


@dataclass(frozen=True, slots=True)
class NodeTrace:
    """A trace as text (`swarmboot.release.trace`), of the manifest of that number. `node` and `key` are those of the
    node's announces (`swarmboot.wire.announce`).
    """

    node: NodeId
    sequence: int
    text: str
    key: NodeKey = field(default=NodeKey(b""), repr=False)


def encode_trace(trace: NodeTrace) -> bytes:
    """Return a trace as the body of a request."""
    return pack({"node": trace.node, "sequence": trace.sequence, "text": trace.text, "key": trace.key})


def decode_trace(data: bytes) -> NodeTrace:
    """Return the trace in a request's body; raise DecodeError otherwise."""
    fields = Fields(unpack(data, max_bytes=TRACE_MAX_BYTES), "trace")
    return NodeTrace(
        NodeId(fields.raw("node", exactly=NODE_ID_BYTES)),
        fields.integer("sequence", least=1, most=MAX_SEQUENCE),
        fields.text("text", most=TEXT_MAX_BYTES),
        NodeKey(fields.raw_or_none("key", exactly=NODE_KEY_BYTES)),
    )
