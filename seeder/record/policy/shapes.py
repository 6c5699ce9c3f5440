"""The shapes of the seeder's JSON API, one function each. Pure: views in, plain values out; docs/operating.md has them.

Times are Unix seconds, durations seconds, sizes bytes, rates bytes per second. A later build may add keys and takes
none away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seeder.record.policy.boot import PHASES, Boot, Span
from seeder.record.policy.state import State
from seeder.record.policy.view import Row, Trial, View

_LISTED = 20
"""So many of the slowest, failed and stuck are in the fleet's summary."""

HISTORY_MAX = 1000
NAMESAKES_MAX = 3
Values = dict[str, Any]


def fleet(view: View) -> Values:
    """Return `GET /api/fleet`: the fleet in one look."""
    going = [row for row in view.rows if row.how.state in (State.BOOTING, State.STUCK)]
    phases = Counter(row.boot.phase for row in going)
    states = Counter(row.how.state for row in view.rows)
    slowest = sorted((row for row in going if row.how.state is State.BOOTING), key=lambda row: row.boot.began_s)
    sequences = Counter(row.boot.sequence for row in view.rows if row.how.state in (State.UP, State.BOOTING))
    return {
        "time": view.now_s,
        "nodes": {
            "total": len(view.rows),
            **{name: phases[name] for name in PHASES},
            **{state.value: states[state] for state in State},
        },
        "copies_sent": round(view.traffic.copies_sent, 3),
        "sent_bytes": view.traffic.sent_bytes,
        "uplink_bytes_per_s": round(view.traffic.bytes_per_s),
        "uplink_limit_bytes_per_s": round(view.traffic.limit_bytes_per_s),
        "limits_s": {name: round(limit_s, 1) for name, limit_s in view.limits_s.items()},
        "slowest": [node(row, now_s=view.now_s) for row in slowest[:_LISTED]],
        "failed": [node(row, now_s=view.now_s) for row in _of(view, State.FAILED)[:_LISTED]],
        "stuck": [node(row, now_s=view.now_s) for row in _of(view, State.STUCK)[:_LISTED]],
        "releases": [
            {
                "name": each.name,
                "sequence": each.sequence,
                "channels": list(each.channels),
                "nodes": sequences[each.sequence],
                "size_bytes": each.size_bytes,
            }
            for each in view.releases
        ],
        "canaries": [_trial(view, each) for each in view.trials],
        "ends": [{"what": what, "unix_s": ends_s} for what, ends_s in view.ends],
        "history_lost": view.lost,
        "without_address": {"total": len(view.addressless), "macs": list(view.addressless[-_LISTED:])},
    }


def _trial(view: View, trial: Trial) -> Values:
    """Return a canary, and how the current boots of its channel and of the one that it stands in for are."""
    states = Counter((row.boot.channel, row.how.state) for row in view.rows)
    own, others = (
        {state.value: states[channel, state] for state in State} for channel in (trial.source, trial.channel)
    )
    return {"channel": trial.source, "in_place_of": trial.channel, "who": trial.who, "nodes": own, "others": others}


def uplink(view: View) -> Values:
    """Return what `GET /api/fleet` has beside the summary: the uplink's last minutes, as times and bytes per second."""
    return {"uplink_history": [[round(at_s, 1), round(rate)] for at_s, rate in view.traffic.history]}


def _identity(boot: Boot) -> Values:
    """Return which machine a boot is of, and of what."""
    return {
        "id": boot.id,
        "boot": boot.boot,
        "mac": boot.mac,
        "name": boot.name,
        "address": boot.address,
        "rack": boot.rack,
        "release": boot.sequence,
        "channel": boot.channel,
    }


def _of(view: View, state: State) -> list[Row]:
    return [row for row in view.rows if row.how.state is state]


def node(row: Row, *, now_s: float) -> Values:
    """Return one node of `GET /api/nodes`."""
    boot = row.boot
    return {
        **_identity(boot),
        "profile": boot.profile,
        "phase": boot.phase,
        "state": row.how.state.value,
        "since_s": round(max(0.0, now_s - row.how.since_s), 1),
        "since_unix_s": round(row.how.since_s, 3),
        "began_unix_s": round(boot.began_s, 3),
        "heard_unix_s": round(boot.heard_s, 3),
        "percent": percent(boot),
        "bytes_from": dict(boot.bytes_from),
        "cause": row.cause.text,
        "kind": row.cause.kind,
    }


def percent(boot: Boot) -> int:
    """Return how much of what it wants a node has, in whole hundredths, rounded down."""
    if boot.phase in ("up", "services", "verification"):
        return 100
    return min(100, boot.have_bytes * 100 // boot.total_bytes) if boot.total_bytes else 0


def nodes(view: View, *, state: str = "", rack: str | None = None) -> Values:
    """Return `GET /api/nodes`: the nodes in a state and a rack, all of them without either."""
    chosen = (
        row for row in view.rows if state in ("", row.how.state.value) and (rack is None or row.boot.rack == rack)
    )
    return {"time": view.now_s, "nodes": [node(row, now_s=view.now_s) for row in chosen]}


def story(row: Row, *, now_s: float, earlier: Iterable[Boot] = (), namesakes: Sequence[Boot] = ()) -> Values:
    """Return `GET /api/nodes/KEY`: one boot's whole story and its machine's boots before it.

    `namesakes` are boots of other machines that call themselves the same.
    """
    boot = row.boot
    return {
        **node(row, now_s=now_s),
        "time": now_s,
        "advice": row.cause.advice,
        "addresses": list(boot.addresses),
        "nodes": list(boot.nodes),
        "kernel": boot.kernel,
        "ram_bytes": boot.ram_bytes,
        "have_bytes": boot.have_bytes,
        "total_bytes": boot.total_bytes,
        "limit_s": round(row.how.limit_s, 1),
        "phases": phases(boot.phases),
        "hash_failures": boot.hash_failures,
        "rescues": boot.rescues,
        "bans": list(boot.bans),
        "stage0": boot.stage0,
        "faults": [
            {"unix_s": fault.at_s, "exit_status": fault.exit_status, "text": fault.text} for fault in boot.faults
        ],
        "earlier": [past(each) for each in earlier],
        "namesakes": {"count": len(namesakes), "some": [each.machine for each in namesakes[:NAMESAKES_MAX]]},
    }


def phases(spans: Mapping[str, Span]) -> list[Values]:
    """Return phases in the order of a boot, each with its start and its end, None while it has not ended."""
    known = sorted((PHASES.index(name), name) for name in spans if name in PHASES)
    return [
        {"name": name, "start_unix_s": round(spans[name][0], 3), "end_unix_s": _rounded(spans[name][1])}
        for _, name in known
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def history(boots: Iterable[Boot], *, now_s: float) -> Values:
    """Return `GET /api/history`: boots, the latest first."""
    return {"time": now_s, "boots": [past(boot) for boot in boots]}


def past(boot: Boot) -> Values:
    """Return one boot of the history."""
    fault = boot.faults[-1] if boot.faults else None
    ended_s = max((end for _, end in boot.phases.values() if end is not None), default=None)
    began_s = min((begun for begun, _ in boot.phases.values()), default=boot.began_s)
    return {
        **_identity(boot),
        "began_unix_s": round(min(began_s, boot.began_s), 3),
        "ended_unix_s": _rounded(ended_s),
        "outcome": boot.outcome.value or boot.phase,
        "bytes_from": dict(boot.bytes_from),
        "exit_status": fault.exit_status if fault else 0,
        "fault": fault.text if fault else "",
    }
