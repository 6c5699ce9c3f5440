"""Plugins of others, taken over: what is written where."""

from __future__ import annotations

import tarfile
from contextlib import chdir
from pathlib import Path

import pytest

from seeder.plugin.take_over import take_over
from swarmboot.errors import MalformedSettingError


@pytest.mark.parametrize("source", ["telegraf.tar.gz", "./telegraf.tar.gz"])
def test_a_plugin_is_never_written_over_itself(source: str, tmp_path: Path) -> None:
    with chdir(tmp_path):
        with tarfile.open("telegraf.tar.gz", "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("tmp/dpkg_status"))
        before = Path("telegraf.tar.gz").read_bytes()
        with pytest.raises(MalformedSettingError, match="written over itself: expected --output FILE"):
            take_over(Path(source), None, None)
        assert Path("telegraf.tar.gz").read_bytes() == before
