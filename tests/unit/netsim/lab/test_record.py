"""A calibration's record: what was measured is kept, what is no record is refused, and nothing is run twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from netsim.lab.calibration import calibrate
from netsim.lab.calibration.calibrate import Comparison, is_stuck, measure_rows
from netsim.lab.calibration.record import Record
from netsim.lab.calibration.rows import Figures, Measurement, small_rows
from netsim.lab.rack.plan import LabPlan
from netsim.lab.run.result import Arrival, Cost, LabResult, Traffic, result_of
from swarmboot.errors import MalformedSettingError

ROW, OTHER, *_ = small_rows()


def measurement(last_s: float) -> Measurement:
    return Measurement(Figures(last_s - 1.0, last_s, 1e6), {"loader": 0.2}, 0.5)


def test_what_was_measured_is_there_again(tmp_path: Path) -> None:
    record = Record(tmp_path / "runs.jsonl")
    record.add(ROW, measurement(9.0))
    record.add(ROW, measurement(11.0))
    again = Record(tmp_path / "runs.jsonl")
    assert again.runs_of(ROW) == [measurement(9.0), measurement(11.0)]
    assert again.runs_of(OTHER) == []


@pytest.mark.parametrize("line", ["", "not JSON", "[]", '{"row": {}, "run": {}}'])
def test_a_line_of_another_file_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "runs.jsonl"
    Record(path).add(ROW, measurement(9.0))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(MalformedSettingError, match=r"line 2 of .*runs\.jsonl"):
        Record(path)


def test_only_runs_that_are_lacking_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record()
    record.add(ROW, measurement(9.0))
    monkeypatch.setattr(calibrate, "measure", lambda _row: measurement(10.0))
    assert list(measure_rows([ROW, OTHER], record, runs=2)) == [ROW, OTHER, OTHER]
    assert list(measure_rows([ROW, OTHER], record, runs=2)) == []


def test_no_run_begins_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "measure", lambda _row: measurement(10.0))
    assert list(measure_rows([ROW], Record(), until_s=time.monotonic() - 1)) == []


def test_a_row_is_the_median_of_its_runs_with_their_spread_beside_it() -> None:
    runs = tuple(measurement(last_s) for last_s in (9.0, 10.0, 12.0))
    comparison = Comparison(ROW, runs, Figures(9.0, 11.0, 1e6))
    assert comparison.lab == Figures(9.0, 10.0, 1e6)
    assert comparison.errors == pytest.approx((0.0, 0.1, 0.0))
    assert comparison.worst == pytest.approx(0.1)
    assert comparison.spread == pytest.approx(2 / 9)


def result(strategy: str, *done_s: float) -> LabResult:
    return result_of(
        LabPlan(strategy, len(done_s), 2.5e6, 8 << 20),
        size_bytes=8 << 20,
        arrivals=[Arrival(0.0, done) for done in done_s],
        traffic=Traffic(8 << 20, {}),
        cost=Cost(1.0, 1.0, 1),
        verified_nodes=len(done_s),
        load_average=0.0,
        reports=(),
    )


@pytest.mark.parametrize("done_s", [(7.0, 7.5, 60.5), (63.0,)])
def test_a_stock_node_that_waited_to_dial_again_is_told_from_a_slow_one(done_s: tuple[float, ...]) -> None:
    assert is_stuck(result("libtorrent", *done_s))
    assert not is_stuck(result("swarmboot", *done_s))
    assert not is_stuck(result("libtorrent", *(done / 4 for done in done_s)))
