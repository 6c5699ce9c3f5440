"""A calibration's record: what was measured is kept, what is no record is refused, and nothing is run twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from netsim.lab import calibrate
from netsim.lab.calibrate import Comparison, Figures, Measurement, measure_rows, small_rows
from netsim.lab.measured import Record
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
