"""What a run reports: the promised keys, and figures that follow from what was counted."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from netsim.lab.rack.plan import LabPlan
from netsim.lab.run.result import Arrival, Cost, LabResult, Traffic, result_of, table_of

KEYS = (
    *("strategy", "nodes", "rate_bytes_per_s", "size_bytes", "first_s", "median_s", "last_s", "limit_s", "ratio"),
    *("server_bytes", "server_copies", "verified_nodes", "cpu_s", "peak_rss_bytes"),
)
ARRIVALS = (Arrival(0.0, 3.0), Arrival(0.5, 2.5), Arrival(1.0, 4.0))


def build_result(arrivals: Sequence[Arrival | None] = ARRIVALS, reports: Sequence[Mapping[str, Any]] = ()) -> LabResult:
    return result_of(
        LabPlan("https", 3, 12_500_000.0, 25_000_000),
        size_bytes=25_000_000,
        arrivals=arrivals,
        traffic=Traffic(27_500_000, {}),
        cost=Cost(cpu_s=1.25, server_cpu_s=0.25, peak_rss_bytes=50 * 2**20),
        verified_nodes=sum(arrival is not None for arrival in arrivals),
        load_average=0.5,
        reports=reports,
    )


def test_times_count_from_the_first_nodes_start() -> None:
    result = build_result()
    assert (result.first_s, result.median_s, result.last_s) == (2.5, 3.0, 4.0)
    assert result.node_s == (3.0, 2.0, 3.0)


def test_the_ratio_is_the_last_node_to_the_limit_and_copies_are_what_the_server_sent() -> None:
    result = build_result()
    assert result.limit_s == 2.0
    assert result.ratio == 2.0
    assert result.server_copies == 1.1


def test_a_killed_node_counts_in_no_time() -> None:
    result = build_result((Arrival(0.0, 3.0), None))
    assert result.last_s == 3.0
    assert result.done_s == (3.0, None)


def test_a_run_whose_nodes_were_all_killed_has_no_times() -> None:
    assert build_result((None, None, None)).last_s == 0.0


def test_bytes_by_source_are_summed_over_the_reports() -> None:
    reports: list[dict[str, Any]] = [
        {"bytes_from": {"neighbours": 5, "origin": 7}},
        {"bytes_from": {"origin": 1}},
        {"outcome": "booted"},
    ]
    assert build_result(reports=reports).bytes_from == {"neighbours": 5, "origin": 8}


def test_the_json_object_begins_with_the_promised_keys() -> None:
    values = json.loads(json.dumps(build_result((Arrival(0.0, 1.23456), None)).as_json()))
    assert list(values)[: len(KEYS)] == [*KEYS]
    assert values["last_s"] == 1.235
    assert values["done_s"] == [1.235, None]


def test_only_what_was_sent_after_the_first_count_is_counted() -> None:
    before = Traffic(100, {"rack0": {"up_bytes": 1, "down_bytes": 2}})
    after = Traffic(150, {"rack0": {"up_bytes": 11, "down_bytes": 22}})
    assert after.since(before) == Traffic(50, {"rack0": {"up_bytes": 10, "down_bytes": 20}})


def test_the_table_shows_every_figure_whole_in_eighty_columns() -> None:
    page = io.StringIO()
    Console(file=page, width=80).print(table_of([build_result()]))
    text = page.getvalue()
    assert "…" not in text
    for figure in ("https", "2.50", "3.00", "4.00", "2.00", "1.10", "3/3", "1.2", "50.0 MiB"):
        assert figure in text
