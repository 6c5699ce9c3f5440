"""What may be a release's storage, what of it is refused before a shell reads it, and one node's words of it."""

from __future__ import annotations

import pytest

from swarmboot.codec import DecodeError
from swarmboot.release.storage import Mount, Storage, StorageError, decode_storage, mount_of, storage_of, storage_value

VALUES = {"mac_dashes": "52-54-00-12-34-56", "mac": "52:54:00:12:34:56", "rack": "", "hostname": "web-1"}


@pytest.mark.parametrize(
    ("words", "storage"),
    [
        (("LABEL=data",), Storage("LABEL=data")),
        (("/dev/disk/by-id/nvme-x_1", "/var/lib/db", "xfs"), Storage("/dev/disk/by-id/nvme-x_1", "/var/lib/db", "xfs")),
        (("PARTUUID=0-1", "", "", "noatime", "stop"), Storage("PARTUUID=0-1", options="noatime", is_needed=True)),
        (("10.0.0.1:/nodes/{mac_dashes}",), Storage("10.0.0.1:/nodes/{mac_dashes}", type="nfs4")),
        (("[fd00::1]:/x", "", "nfs", "", "continue"), Storage("[fd00::1]:/x", type="nfs")),
    ],
)
def test_what_is_written_is_understood_and_comes_back_from_a_manifest(words: tuple[str, ...], storage: Storage) -> None:
    assert storage_of(*words) == storage
    assert decode_storage(storage_value(storage)) == storage


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("data",), "storage"),
        (("",), "storage"),
        (("LABEL=../../etc",), "storage"),
        (("LABEL=my data",), "storage"),
        (("/dev/../etc/shadow",), "storage"),
        (("LABEL=$(reboot)",), "storage"),
        (("10.0.0.1:/x/{hostnmae}",), "storage"),
        (("10.0.0.1:/x/../y",), "storage"),
        (("10.0.0.1:relative",), "storage"),
        (("-oexec:/x",), "storage"),
        (("LABEL=data", "srv"), "storage_at"),
        (("LABEL=data", "/"), "storage_at"),
        (("LABEL=data", "/usr"), "storage_at"),
        (("LABEL=data", "/run/data"), "storage_at"),
        (("LABEL=data", "/srv/../etc"), "storage_at"),
        (("LABEL=data", "/srv data"), "storage_at"),
        (("LABEL=data", "", "nfs4"), "storage_type"),
        (("10.0.0.1:/x", "", "ext4"), "storage_type"),
        (("LABEL=data", "", "ntfs"), "storage_type"),
        (("LABEL=data", "", "", "rw; reboot"), "storage_options"),
        (("LABEL=data", "", "", "", "format"), "storage_missing"),
    ],
)
def test_what_is_none_is_refused_by_its_key(words: tuple[str, ...], key: str) -> None:
    with pytest.raises(StorageError) as refused:
        storage_of(*words)
    assert refused.value.key == key
    names = ("source", "where", "type", "options", "missing")
    with pytest.raises(DecodeError):
        decode_storage(dict(zip(names, words, strict=False)))


def test_a_node_has_its_own_folder_and_no_file_of_a_disk_runs_as_another_user() -> None:
    nfs = storage_of("nas:/nodes/{mac_dashes}/{hostname}", options="soft")
    source = "nas:/nodes/52-54-00-12-34-56/web-1"
    assert mount_of(nfs, VALUES) == Mount("nfs4", source, "/srv", "nosuid,nodev,soft", "nas")
    assert mount_of(storage_of("[fd00::1]:/{mac}"), VALUES).server == "fd00::1"
    assert mount_of(storage_of("LABEL=data"), {}) == Mount("ext4", "LABEL=data", "/srv", "nosuid,nodev")


def test_a_folder_by_a_value_that_nobody_knows_is_no_other_nodes() -> None:
    with pytest.raises(StorageError, match="a folder: rack is not known"):
        mount_of(storage_of("nas:/nodes/{rack}"), VALUES)
