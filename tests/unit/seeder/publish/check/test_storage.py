"""publish says if the release's own initramfs cannot mount its storage."""

from __future__ import annotations

import pytest

from seeder.publish.check.readers.initramfs import Initramfs
from seeder.publish.check.stage0 import check_storage
from swarmboot.release.storage import storage_of


@pytest.mark.parametrize(
    ("source", "kind", "driver"),
    [("LABEL=data", "", "ext4"), ("LABEL=data", "xfs", "xfs"), ("nas:/x", "", "nfsv4"), ("nas:/x", "nfs", "nfsv3")],
)
@pytest.mark.parametrize("missing", ["continue", "stop"])
def test_an_initramfs_without_the_driver_is_said_and_refused_where_nodes_would_stop(
    source: str, kind: str, driver: str, missing: str
) -> None:
    storage = storage_of(source, "", kind, "", missing)
    (found,) = check_storage(Initramfs(drivers=frozenset({"loop"})), storage, label="initramfs.img")
    assert found.is_fatal is (missing == "stop")
    assert driver in found.expected
    assert f"--default storage={storage.type}" in found.hint
    assert check_storage(Initramfs(drivers=frozenset({"loop", driver})), storage, label="initramfs.img") == []


def test_nothing_is_said_where_there_is_nothing_to_mount_or_to_see() -> None:
    assert check_storage(Initramfs(drivers=frozenset({"loop"})), None, label="initramfs.img") == []
    assert check_storage(Initramfs(), storage_of("LABEL=data"), label="initramfs.img") == []
