"""What serve says first."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.http.authority import ServerCertificate
from seeder.serve.lines.start_lines import start_lines


@pytest.mark.parametrize(
    ("listening", "opened"),
    [
        ("https://0.0.0.0:8470", "https://127.0.0.1:8470"),
        ("https://[::]:8470", "https://[::1]:8470"),
        ("https://10.0.0.1:8470", "https://10.0.0.1:8470"),
    ],
)
def test_the_page_is_named_by_an_address_that_a_browser_can_open(listening: str, opened: str, tmp_path: Path) -> None:
    certificate = ServerCertificate(certificate=tmp_path / "a.pem", key=tmp_path / "a.key", authority=None)
    lines = list(start_lines(tmp_path, listening, 1e6, certificate))
    assert f"how it goes: {opened}/ui/, swarmboot status; figures for Prometheus: {opened}/metrics" in lines
    assert any(line.startswith(f"listening on {listening}") for line in lines)
