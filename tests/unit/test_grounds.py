"""What the matrix of grounds takes from docs/boot.md, and the parts that a runtime image is divided into."""

from __future__ import annotations

import pytest

from tests.bench.runtime_sizes import part_of
from tests.system.vm.grounds import page_installs


def test_the_page_names_what_the_hook_and_dracut_need() -> None:
    hook, dracut, *_ = page_installs()
    assert {"python3-libtorrent", "busybox", "squashfs-tools", "binutils", "iproute2"} <= {*hook}
    assert dracut == ("dracut", "dracut-network")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("usr/lib/x86_64-linux-gnu/libtorrent-rasterbar.so.2.0", "libtorrent, its Python binding"),
        ("usr/lib/python3.13/trio/_core/_run.pyc", "trio, h11, msgpack and theirs"),
        ("usr/lib/python3.13/ssl.pyc", "Python's standard library"),
        ("usr/lib/python3.13/leecher/boot.pyc", "the leecher"),
        ("usr/bin/zstd", "the rest"),
    ],
)
def test_every_file_of_a_runtime_belongs_to_a_part(name: str, part: str) -> None:
    assert part_of(name) == part
