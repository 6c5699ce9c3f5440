"""The token that lets somebody read the fleet's state."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.record.access import is_bearer, read_ui_token
from swarmboot.errors import KeyFileError


def test_whoever_brings_the_token_is_let_in_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "ui.token"
    path.write_text("0123456789abcdef0123\n")
    token = read_ui_token(path)
    assert is_bearer("Bearer 0123456789abcdef0123", token)
    assert is_bearer("bearer 0123456789abcdef0123", token)
    for header in (
        "",
        "Bearer",
        "Bearer ",
        "Bearer 0123456789abcdef012",
        "Basic 0123456789abcdef0123",
        "Bearer \udcff",
    ):
        assert not is_bearer(header, token)
        assert not is_bearer(header, b"")


@pytest.mark.parametrize("text", [b"", b"short\n", b"two words that are long\n", b"\xff" * 32, b"x" * 600])
def test_a_token_that_is_none_is_refused_in_one_line(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "ui.token").write_bytes(text)
    with pytest.raises(KeyFileError, match=r"ui\.token"):
        read_ui_token(tmp_path / "ui.token")
    with pytest.raises(KeyFileError):
        read_ui_token(tmp_path / "none")
