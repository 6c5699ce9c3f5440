"""What a server needs before its first release: nothing of it is made for a name that cannot be written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.init.first import First, made_first
from swarmboot.errors import MalformedSettingError


def test_a_folder_that_no_file_of_options_can_hold_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    first = First(pxe="", dhcp_range="", notes=(), folder=Path("/srv/a\nb"), root=tmp_path)
    for is_dry in (True, False):
        with pytest.raises(MalformedSettingError, match="a file of options cannot hold this"):
            made_first(first, is_dry=is_dry)
    assert list(tmp_path.iterdir()) == []
