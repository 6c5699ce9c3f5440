"""publish says if the release's own initramfs cannot make the compressed swap that it asks for."""

from __future__ import annotations

import pytest

from seeder.publish.check.readers.initramfs import Initramfs
from seeder.publish.check.stage0 import check_zram

WITHOUT, WITH = Initramfs(drivers=frozenset({"loop"})), Initramfs(drivers=frozenset({"loop", "zram"}))


@pytest.mark.parametrize("cmdlines", [("swarmboot.zram=75%",), ("quiet", "quiet swarmboot.zram=75%")])
def test_an_initramfs_without_the_module_is_said_whichever_profile_asks_for_it(cmdlines: tuple[str, ...]) -> None:
    (found,) = check_zram(WITHOUT, cmdlines, label="initramfs.img")
    assert not found.is_fatal
    assert "swarmboot.zram=75%: nodes boot without" in found.what
    assert "--default zram=75%" in found.hint
    assert check_zram(WITH, cmdlines, label="initramfs.img") == []


@pytest.mark.parametrize("cmdline", ["", "swarmboot.zram=off", "swarmboot.zram=50% swarmboot.zram=off"])
def test_nothing_is_said_where_nobody_asks_for_it_or_nothing_can_be_seen(cmdline: str) -> None:
    assert check_zram(WITHOUT, (cmdline,), label="initramfs.img") == []
    assert check_zram(Initramfs(), ("swarmboot.zram=50%",), label="initramfs.img") == []
