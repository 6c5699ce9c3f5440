"""The boot report: what one node's boot took, where its bytes came from and how it ended.

Real nodes post it to the seeder and netsim makes the same record, so that simulation and reality are compared field by
field. Seconds and bytes. It will not measure anything itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from swarmboot.codec import DecodeError, Fields, pack, unpack
from swarmboot.ids import MAX_SEQUENCE, NODE_KEY_BYTES, NodeKey

REPORT_MAX_BYTES = 1 << 16

PHASES = (
    "power_on",
    "firmware",
    "dhcp",
    "loader",
    "stage0",
    "kernel",
    "leecher_start",
    "manifest",
    "images",
    "verification",
    "hand_off",
    "services",
)
"""The phases of a boot in order; a report holds those that its maker could see."""

SOURCES = ("neighbours", "origin")
"""Where bytes come from; a report holds those that its maker counted."""

_MAX_ERROR = 1024

VERIFIED = "images verified"
"""Said by the leecher when all images are there, whatever becomes of them."""
BOOTED = "booted"
"""Said by the neighbour in the booted system, as its first word; builds before said it where VERIFIED is said now."""
FAILED = "failed"

_BOOT = re.compile(r"([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?\Z")
_MAC = re.compile(r"([0-9a-f]{2}(:[0-9a-f]{2}){5,19})?\Z")
_NAME = re.compile(r"[A-Za-z0-9._-]{0,64}\Z")


@dataclass(frozen=True, slots=True)
class BootReport:
    """One node's boot. `phases` maps names of PHASES to seconds, `bytes_from` `neighbours` and `origin` to bytes.

    `stage0` says how the kernel and initramfs that started the node differ from the manifest's; empty if they do not.
    `boot` is the kernel's own id of this boot (random(4), boot_id), `mac` that of the card which leads to the seeder,
    `name` the host's: empty where nobody could tell, as of builds before. `uptime_s` is since the kernel started.
    `key` is that of its announces (see `swarmboot.wire.announce`): for the seeder alone, in no file and no log.
    """

    node: str
    outcome: str
    sequence: int = 0
    profile: str = ""
    rack: str = ""
    error: str = ""
    exit_status: int = 0
    phases: Mapping[str, float] = field(default_factory=dict)
    bytes_from: Mapping[str, int] = field(default_factory=dict)
    hash_failures: int = 0
    rescues: int = 0
    stage0: str = ""
    finished_unix_s: float = 0.0
    boot: str = ""
    mac: str = ""
    name: str = ""
    uptime_s: float = 0.0
    key: NodeKey = field(default=NodeKey(b""), repr=False)

    def values(self) -> dict[str, object]:
        """Return the fields by name, JSON-ready; not the key, which is the node's secret."""
        return {name: value for name, value in asdict(self).items() if name != "key"}

    def as_json(self) -> str:
        """Return the report as one line of JSON, without the key."""
        return json.dumps(self.values(), sort_keys=True)


def encode_report(report: BootReport) -> bytes:
    """Return the report as the body of a request; a very long error is cut rather than losing the report."""
    return pack({**asdict(report), "error": report.error[:_MAX_ERROR]})


def decode_report(data: bytes) -> BootReport:
    """Return the report in a request's body; raise DecodeError otherwise."""
    fields = Fields(unpack(data, max_bytes=REPORT_MAX_BYTES), "report")
    phases = Fields(fields.mapping("phases"), "report.phases")
    bytes_from = Fields(fields.mapping("bytes_from"), "report.bytes_from")
    return BootReport(
        node=fields.text("node", most=64),
        outcome=fields.text("outcome", most=16),
        sequence=fields.integer("sequence", most=MAX_SEQUENCE, default=0),
        profile=fields.text("profile", default=""),
        rack=fields.text("rack", most=64, default=""),
        error=fields.text("error", most=_MAX_ERROR, default=""),
        exit_status=fields.integer("exit_status", most=255, default=0),
        phases={name: phases.number(name) for name in PHASES if phases.has(name)},
        bytes_from={name: bytes_from.integer(name) for name in SOURCES if bytes_from.has(name)},
        hash_failures=fields.integer("hash_failures", default=0),
        rescues=fields.integer("rescues", default=0),
        stage0=fields.text("stage0", most=_MAX_ERROR, default=""),
        finished_unix_s=fields.number("finished_unix_s", default=0.0),
        boot=_matching(_BOOT, fields, "boot"),
        mac=_matching(_MAC, fields, "mac"),
        name=_matching(_NAME, fields, "name"),
        uptime_s=fields.number("uptime_s", default=0.0),
        key=NodeKey(fields.raw_or_none("key", exactly=NODE_KEY_BYTES)),
    )


def _matching(pattern: re.Pattern[str], fields: Fields, name: str) -> str:
    """Return a field that stands in the seeder's log as it is; raise DecodeError if it has another form."""
    text = fields.text(name, most=64, default="")
    if not pattern.match(text):
        raise DecodeError(f"report.{name} is not of its form")
    return text
