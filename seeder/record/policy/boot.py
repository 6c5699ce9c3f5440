"""One boot of one machine, as a value, and its form as plain values. Pure; times are Unix seconds, sizes bytes.

A record begins with the first that is heard of a boot: a script asked for, an announce, a report, or a request that was
refused. What nodes say of themselves is their word; what tells machines apart has a narrow form (`swarmboot.wire`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

PHASES = ("dhcp", "queue", "stage0", "kernel", "leecher_start", "manifest", "images", "verification", "services")
"""A boot's phases in order: those of `swarmboot.wire.report` that this server can tell; `dhcp` and `queue` are its own.

`dhcp` ends when a machine asks for its script, `queue` when it may load stage 0, `kernel` when a leecher starts,
`services` when the booted system speaks.
"""
STAGE0_PHASES = PHASES[:4]

FAULTS_MAX, NAMES_MAX, BANS_MAX = 16, 8, 16
TEXT_MAX, FAULTS_TEXT_MAX = 1024, 2048
"""So many characters a text has that a node may say, and the faults of a boot together: ten thousand are in memory."""

Span = tuple[float, float | None]
"""When something began and when it ended, None while it has not."""


class Outcome(StrEnum):
    """What became of a boot, as far as it was said."""

    OPEN = ""
    VERIFIED = "verified"
    UP = "up"
    FAILED = "failed"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that went wrong, when, and the exit status that goes with it (`swarmboot.errors`), 0 for none."""

    at_s: float
    text: str
    exit_status: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """One boot. `addresses` and `nodes` have the latest first; `bytes_from` is as the node counted it.

    `hands_off` says that a system is booted after the images are there, and speaks for itself then. `stage0` says how
    what started the node differs from the release, `missed` which channel it asked for in vain, `refused` why this
    server did not listen to it, `ahead` how many machines were served before it when it last asked for stage 0.
    `gained_s` is when the last piece came, `heard_s` when anything was last heard.
    """

    id: str
    began_s: float
    heard_s: float
    mac: str = ""
    addresses: tuple[str, ...] = ()
    name: str = ""
    rack: str = ""
    boot: str = ""
    nodes: tuple[str, ...] = ()
    profile: str = ""
    sequence: int = 0
    channel: str = ""
    kernel: str = ""
    ram_bytes: int = 0
    outcome: Outcome = Outcome.OPEN
    hands_off: bool = False
    phases: Mapping[str, Span] = field(default_factory=dict)
    bytes_from: Mapping[str, int] = field(default_factory=dict)
    have_bytes: int = 0
    total_bytes: int = 0
    gained_s: float = 0.0
    hash_failures: int = 0
    rescues: int = 0
    bans: tuple[str, ...] = ()
    is_starving: bool = False
    faults: tuple[Fault, ...] = ()
    stage0: str = ""
    missed: str = ""
    refused: str = ""
    ahead: int = 0

    @property
    def address(self) -> str:
        """Return the address that it was last heard from, empty if none is known."""
        return self.addresses[0] if self.addresses else ""

    @property
    def machine(self) -> str:
        """Return what the machine is known by from one boot to the next: its MAC address, else where it was."""
        return self.mac or self.address or self.id

    @property
    def phase(self) -> str:
        """Return the phase that has not ended; else what became of the boot, or the last phase."""
        open_phase = next((name for name in reversed(PHASES) if self.phases.get(name, (0.0, 0.0))[1] is None), "")
        if open_phase:
            return open_phase
        if self.outcome is Outcome.UP:
            return "up"
        return next((name for name in reversed(PHASES) if name in self.phases), "")

    @property
    def is_fetched(self) -> bool:
        """Return whether somebody fetched images on a running system, and has them: the next fetch is another story."""
        is_whole = self.outcome is Outcome.UP or (self.outcome is Outcome.LEFT and "verification" in self.phases)
        return is_whole and not self.hands_off

    @property
    def has_spoken(self) -> bool:
        """Return whether a leecher of this boot was heard."""
        return bool(self.nodes) or self.outcome is not Outcome.OPEN


def kept_text(text: str) -> str:
    """Return what is kept of a text that a node says: in ASCII, of which a character takes a byte."""
    return text[:TEXT_MAX].encode("ascii", "backslashreplace")[:TEXT_MAX].decode("ascii")


def with_fault(faults: tuple[Fault, ...], fault: Fault) -> tuple[Fault, ...]:
    """Return the faults with one more, a bounded number and length of the latest; a repeated one replaces the last."""
    fault = Fault(fault.at_s, kept_text(fault.text), fault.exit_status)
    is_again = bool(faults) and (faults[-1].text, faults[-1].exit_status) == (fault.text, fault.exit_status)
    kept = (*(faults[:-1] if is_again else faults), fault)[-FAULTS_MAX:]
    while sum(len(each.text) for each in kept) > FAULTS_TEXT_MAX:
        kept = kept[1:]
    return kept


def with_first(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return names with this one first, a bounded number of them, each once; unchanged without one."""
    return (name, *(each for each in names if each != name))[:NAMES_MAX] if name else names


def to_values(boot: Boot) -> dict[str, Any]:
    """Return a boot as plain values, ready for JSON; what is empty is left out."""
    values: dict[str, Any] = {}
    for name in _NAMES:
        value = getattr(boot, name)
        if value or name in ("id", "began_s", "heard_s"):
            values[name] = value
    if boot.faults:
        values["faults"] = [[fault.at_s, fault.text, fault.exit_status] for fault in boot.faults]
    return values


def from_values(values: Mapping[str, Any]) -> Boot:
    """Return the boot that `to_values` was given, also by a later build; raise ValueError or TypeError for no boot."""
    known = {name: values[name] for name in _NAMES if name in values}
    for name in ("addresses", "nodes", "bans"):
        known[name] = tuple(known.get(name, ()))
    known["faults"] = tuple(
        Fault(float(at_s), str(text), int(status)) for at_s, text, status in known.get("faults", ())
    )
    phases = {name: (float(begun), end) for name, (begun, end) in dict(known.get("phases", {})).items()}
    known |= {"phases": phases, "outcome": Outcome(known.get("outcome", ""))}
    return Boot(**known)


_NAMES = tuple(each.name for each in fields(Boot))
