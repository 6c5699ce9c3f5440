"""A release whose root boots, to be spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.releases.bootable_roots import build_root
from tests.support.releases.release_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, build_root(tmp_path / "root"))
