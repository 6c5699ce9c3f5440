"""The file beside the initramfs that is a node's own."""

from __future__ import annotations

import pytest

from leecher.initramfs.node_settings import parse_node_file
from swarmboot.errors import UnknownSettingError


def test_a_nodes_own_file_may_set_anything_but_what_is_trusted() -> None:
    assert parse_node_file("rack=r12\nprofile=gpu\n", where="node") == {"rack": "r12", "profile": "gpu"}
    with pytest.raises(UnknownSettingError, match="node sets floor, trust, which only the initramfs itself may"):
        parse_node_file("trust=/tmp/other.pub\nfloor=0\n", where="node")


@pytest.mark.parametrize("name", ["trust", "ca", "floor", "fleet"])
def test_files_beside_the_initramfs_change_nothing_that_is_trusted(name: str) -> None:
    with pytest.raises(UnknownSettingError, match=f"sets {name}, which only the initramfs itself may"):
        parse_node_file(f"{name}=x\n", where="node")
