"""The dashboard is one by the model that Grafana publishes: read and written by it, nothing is lost or changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.tree import DOCS

DASHBOARD = DOCS / "monitoring" / "grafana.json"
OF_THE_IMPORT = "/__inputs"
"""What Grafana asks when the file is imported; it is no part of a dashboard afterwards."""


def by_grafanas_model(dashboard: dict[str, Any]) -> dict[str, Any]:
    """Return a dashboard as Grafana's own library writes it after it has read it."""
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    pytest.importorskip("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    written: dict[str, Any] = json.loads(encoder.JSONEncoder().encode(models.Dashboard.from_json(dashboard)))
    return written


def lost(before: object, after: object, path: str = "") -> Iterator[str]:
    """Yield where something of a value is not in another, or is another there."""
    if isinstance(before, dict):
        for name, value in before.items():
            is_there = isinstance(after, dict) and name in after
            yield from lost(value, after[name], f"{path}/{name}") if is_there else (f"{path}/{name}",)  # type: ignore[index]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from lost(*pair, f"{path}/{number}")
    elif before != after:
        yield path


def test_grafanas_own_model_knows_all_that_the_dashboard_says() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert list(lost(dashboard, by_grafanas_model(dashboard))) == [OF_THE_IMPORT]


@pytest.mark.parametrize("path", ["options/colourMode", "fieldConfig/defaults/units", "gridpos"])
def test_a_mistyped_key_of_a_panel_would_be_lost_by_that_model(path: str) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    *folders, name = path.split("/")
    at = dashboard["panels"][0]
    for folder in folders:
        at = at[folder]
    at[name] = "x"
    assert f"/panels/0/{path}" in list(lost(dashboard, by_grafanas_model(dashboard)))
