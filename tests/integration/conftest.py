"""A release and the fleet that has published it, for each module that does not make its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.loopback import Fleet, build_fleet, build_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release directory with a root image of 3 MB and one plugin."""
    return build_release(tmp_path_factory.mktemp("fleet") / "release")


@pytest.fixture(scope="module")
def fleet(release: Path) -> Fleet:
    """Return the fleet that has published it."""
    return build_fleet(release.parent, release)
