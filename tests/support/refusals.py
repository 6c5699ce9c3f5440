"""A leecher that must refuse: how it ends, what its last line says, and that it leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from swarmboot.errors import SwarmbootError
from tests.support.loopback import booting


def check_refusal(status: int, said: str, error: type[SwarmbootError], *words: str) -> None:
    """Check that the last line said is the refusal, whole and alone."""
    lines = said.strip().splitlines()
    assert status == error.exit_status, said
    assert lines[-1].startswith("swarmboot: ")
    assert "Traceback" not in said
    for word in words:
        assert word in lines[-1]


def refused(tmp_path: Path, error: type[SwarmbootError], *arguments: str | Path, words: tuple[str, ...] = ()) -> None:
    """Run a leecher that must refuse; nothing that looks like an image may be left."""
    with booting(tmp_path, 1, *arguments) as node:
        status, said = node.end()
        check_refusal(status, said, error, *words)
        assert not node.into.exists() or not [file for file in node.into.iterdir() if file.is_file()]
