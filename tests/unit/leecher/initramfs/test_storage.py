"""The words that the hook is handed for a mount: addresses in place of names, and nothing that is not known."""

from __future__ import annotations

import pytest

from leecher.initramfs.storage import nfs_options, numeric, storage_words
from swarmboot.release.node_overlay import NodeOverlays
from swarmboot.release.node_root import NodeFacts, node_root
from swarmboot.release.storage import Mount, storage_of
from swarmboot.settings import build_settings

OWN = node_root(NodeOverlays(), NodeFacts(("52:54:00:12:34:56",), address="10.0.0.9"))
DISK = storage_of("LABEL=data", "/data", missing="stop")


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, "ext4 LABEL=data /data stop nosuid,nodev"), ({"storage": "ext4"}, "ext4 LABEL=data /data stop nosuid,nodev"),
     ({"storage": "off"}, ""), ({"storage": "No"}, "")],
)  # fmt: skip
def test_a_disk_is_handed_on_unless_storage_is_turned_off(given: dict[str, str], words: str) -> None:
    assert storage_words(DISK, OWN, build_settings(given), tell=pytest.fail) == words


def test_a_release_without_storage_has_no_words() -> None:
    assert storage_words(None, OWN, build_settings({}), tell=pytest.fail) == ""


def test_a_folder_of_a_server_has_both_addresses_and_the_nodes_own_name() -> None:
    storage = storage_of("127.0.0.1:/nodes/{mac_dashes}")
    options = "nosuid,nodev,addr=127.0.0.1,vers=4.2,clientaddr=10.0.0.9"
    said = f"nfs4 127.0.0.1:/nodes/52-54-00-12-34-56 /srv continue {options}"
    assert storage_words(storage, OWN, build_settings({}), tell=pytest.fail) == said


def test_a_folder_by_a_value_that_nobody_knows_is_missing_and_said() -> None:
    said: list[str] = []
    words = storage_words(storage_of("nas:/nodes/{rack}"), OWN, build_settings({}), tell=said.append)
    assert words == "nfs4 - /srv continue ro"
    assert said == ["storage nas:/nodes/{rack} of this node is not a folder: rack is not known"]


@pytest.mark.parametrize(
    ("kind", "given", "options"),
    [
        ("nfs", "nosuid", "nosuid,addr=10.0.0.1,nolock"),
        ("nfs4", "vers=4.1", "vers=4.1,addr=10.0.0.1,clientaddr=10.0.0.9"),
        ("nfs4", "minorversion=1", "minorversion=1,addr=10.0.0.1,clientaddr=10.0.0.9"),
    ],
)
def test_versions_of_nfs_are_the_releases_if_it_names_one(kind: str, given: str, options: str) -> None:
    assert nfs_options(Mount(kind, "nas:/x", "/srv", given, "nas"), "10.0.0.1", "10.0.0.9") == options


def test_whoever_mounts_is_given_an_address_and_has_no_name_to_look_up() -> None:
    assert numeric("nas.example:/x/52:54:00", "10.0.0.1") == "10.0.0.1:/x/52:54:00"
    assert numeric("[fd00::1]:/x", "fd00::1") == "[fd00::1]:/x"
    assert numeric("nas:/x", "") == "nas:/x"
