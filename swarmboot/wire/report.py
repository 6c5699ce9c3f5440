"""The boot report: what one node's boot took, where its bytes came from and how it ended.

Real nodes post it to the seeder and netsim makes the same record, so that simulation and reality are compared field by
field. Seconds and bytes. It will not measure anything itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from swarmboot.codec import Fields, pack, unpack
from swarmboot.ids import MAX_SEQUENCE, NODE_KEY_BYTES, NodeKey
from swarmboot.wire import about

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

SOURCES = ("neighbours", "origin", "cache")
"""Where bytes come from; a report holds those that its maker counted, the cache only where a node has one."""

_MAX_ERROR = 1024

VERIFIED = "images verified"
"""Said by the leecher when all images are there, whatever becomes of them."""
BOOTED = "booted"
"""Said by the neighbour in the booted system, as its first word; builds before said it where VERIFIED is said now."""
FAILED = "failed"

BANS_MAX = 16
"""So many neighbours that lied are named."""
_ADDRESS_MAX = 64


@dataclass(frozen=True, slots=True)
class BootReport:
    """One node's boot. `phases` maps names of PHASES to seconds, `bytes_from` names of SOURCES to bytes.

    `stage0` says how the kernel and initramfs that started the node differ from the manifest's; empty if they do not.
    `boot`, `mac`, `name`, `channel` and `kernel` are as in `swarmboot.wire.about`: empty where nobody could tell, as of
    builds before. `uptime_s` is since the kernel started, `ram_bytes` what memory there is. `bans` are the addresses of
    neighbours that sent corrupt blocks. `hands_off` says that a system is booted from what was fetched, whose first
    word is still to come.
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
    channel: str = ""
    kernel: str = ""
    ram_bytes: int = 0
    bans: tuple[str, ...] = ()
    hands_off: bool = False
    key: NodeKey = field(default=NodeKey(b""), repr=False)

    def values(self) -> dict[str, object]:
        """Return the fields by name, JSON-ready; not the key, which is the node's secret."""
        return {name: value for name, value in asdict(self).items() if name != "key"}

    def as_json(self) -> str:
        """Return the report as one line of JSON, without the key."""
        return json.dumps(self.values(), sort_keys=True)


def encode_report(report: BootReport) -> bytes:
    """Return the report as the body of a request; a very long error is cut rather than losing the report."""
    return pack({**asdict(report), "error": report.error[:_MAX_ERROR], "bans": list(report.bans[:BANS_MAX])})


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
        boot=about.boot_id(fields),
        mac=about.mac_address(fields),
        name=about.host_name(fields),
        uptime_s=fields.number("uptime_s", default=0.0),
        channel=about.channel(fields),
        kernel=about.kernel(fields),
        ram_bytes=fields.integer("ram_bytes", default=0),
        bans=fields.texts("bans", most=BANS_MAX, each=_ADDRESS_MAX),
        hands_off=fields.truth("hands_off", default=False),
        key=NodeKey(fields.raw_or_none("key", exactly=NODE_KEY_BYTES)),
    )
