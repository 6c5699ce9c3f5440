"""What the lab measured for a calibration, kept as JSON lines, a run a line, so that a stopped one goes on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netsim.lab.calibration.rows import Figures, Measurement, Row
from swarmboot.errors import MalformedSettingError


class Record:
    """The runs of every row so far, in memory and, if there is a path, in its file."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the file if it exists; raise MalformedSettingError if it is not such a record."""
        self._path = path
        self._runs: dict[Row, list[Measurement]] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                found: dict[str, Any] = json.loads(line)
                run = found["run"]
                measurement = Measurement(Figures(**run["figures"]), dict(run["phases"]), run["load_average"])
                self._runs.setdefault(Row(**found["row"]), []).append(measurement)
            except (ValueError, KeyError, TypeError) as error:
                raise MalformedSettingError(
                    f"line {number} of {path} is not a calibration's",
                    expected="the file that --record wrote",
                    found=line[:60],
                    hint="name another file, or remove that line",
                ) from error

    def runs_of(self, row: Row) -> list[Measurement]:
        """Return the runs of a row so far."""
        return self._runs.get(row, [])

    def add(self, row: Row, measurement: Measurement) -> None:
        """Take note of a run."""
        self._runs.setdefault(row, []).append(measurement)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"row": asdict(row), "run": asdict(measurement)}) + "\n")
