"""The seeder under many nodes and hostile hosts at once, for a moment; `tests.bench.flat` does the same for long."""

from __future__ import annotations

from pathlib import Path

from tests.bench import flat

SECONDS = 20.0
FIRST_S = 8.0


def test_memory_and_descriptors_stay_flat_under_hostile_hosts(tmp_path: Path) -> None:
    figures = flat.run(tmp_path, seconds=SECONDS, nodes=300, hostile=60, interval_s=1.0)
    assert figures.growth(FIRST_S) < flat.GROWTH_MAX
    assert figures.leaked_descriptors(FIRST_S) < flat.DESCRIPTORS_SPARE
    assert figures.load["answers"] > 240
