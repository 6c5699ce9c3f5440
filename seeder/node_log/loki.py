"""Lines handed on to Loki's push API: `POST /loki/api/v1/push`, as JSON.

https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs. Labels have few values (`job`, `source`,
`level`); which node said a line stands in the line, because each value of a label is a stream that Loki keeps open.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from seeder.node_log.message import SEVERITIES, Line

PUSH_PATH = "/loki/api/v1/push"


@dataclass(frozen=True, slots=True)
class Heard:
    """A line, who said it (a boot's id or an address, and a name for people), how it came, and when."""

    key: str
    who: str
    source: str
    line: Line
    at_unix_s: float


def push_body(heard: Iterable[Heard]) -> bytes:
    """Return the body of a push: a stream for each source and level, times as nanoseconds in a string."""
    streams: dict[tuple[str, str], list[list[str]]] = {}
    for each in heard:
        stream = streams.setdefault((each.source, SEVERITIES[each.line.severity]), [])
        stream.append([str(int(each.at_unix_s * 1e9)), f"{each.who}: {each.line.text}"])
    values = [
        {"stream": {"job": "swarmboot", "source": source, "level": level}, "values": lines}
        for (source, level), lines in streams.items()
    ]
    return json.dumps({"streams": values}).encode()
