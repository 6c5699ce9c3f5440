"""The leecher's command line, where there is no click: in the initramfs."""

from __future__ import annotations

import pytest

from leecher.boot.start import _parse
from swarmboot.settings import TABLE


def test_help_names_every_setting_whatever_signs_its_words_have(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["leecher", "--help"])
    with pytest.raises(SystemExit) as ended:
        _parse()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(f"{setting.flag} " in said for setting in TABLE)
