"""The words that the hook is handed for a mount: addresses in place of names, and nothing that is not known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leecher.initramfs.storage import nfs_options, numeric, storage_words, vouched_storage
from swarmboot.release.manifest import Profile
from swarmboot.release.node_overlay import NodeOverlays
from swarmboot.release.node_root import NodeFacts, node_root
from swarmboot.release.storage import Mount, storage_of
from swarmboot.settings import build_settings
from tests.support.builders import build_manifest

OWN = node_root(NodeOverlays(), NodeFacts(("52:54:00:12:34:56",), address="10.0.0.9"))
DISK = storage_of("LABEL=data", "/data", missing="stop")
WORDS = "ext4 LABEL=data /data continue nosuid,nodev"


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, WORDS), ({"storage": "ext4"}, WORDS), ({"storage": "off"}, ""), ({"storage": "No"}, "")],
)
def test_a_disk_is_handed_on_unless_storage_is_turned_off(given: dict[str, str], words: str) -> None:
    disk = replace(DISK, is_needed=False)
    assert storage_words(disk, OWN, build_settings(given), vouched="", tell=pytest.fail) == words


@pytest.mark.parametrize("vouched", ["", "ext4", "ext4,nfs4", "on"])
def test_a_line_that_anybody_writes_does_not_go_over_a_signed_stop(vouched: str) -> None:
    said: list[str] = []
    words = storage_words(DISK, OWN, build_settings({"storage": "off"}), vouched=vouched, tell=said.append)
    assert words == WORDS.replace("continue", "stop")
    (line,) = said
    assert line.startswith("swarmboot.storage=off is passed over: the release has nodes stop without storage")


@pytest.mark.parametrize(
    ("cmdline", "profile", "baked", "is_off"),
    [
        ("", "", "", False),
        ("quiet swarmboot.storage=off", "", "ext4", True),
        ("quiet", "diskless", "ext4", True),
        ("quiet", "other", "ext4", False),
        ("swarmboot.storage=off", "other", "", False),
        ("quiet", "", "off", True),
        ("swarmboot.storage=ext4", "", "off", False),
    ],
)
def test_what_is_signed_or_baked_in_turns_storage_off(cmdline: str, profile: str, baked: str, *, is_off: bool) -> None:
    lines = {"diskless": "swarmboot.storage=off", "other": "swarmboot.storage=on"}
    profiles = tuple(Profile(name=name, cmdline=line) for name, line in lines.items())
    manifest = build_manifest(cmdline=cmdline, profiles=profiles)
    vouched = vouched_storage(manifest, profile, baked)
    words = storage_words(DISK, OWN, build_settings({"storage": "off"}), vouched=vouched, tell=lambda _: None)
    assert (words == "") is is_off


def test_a_release_without_storage_has_no_words() -> None:
    assert storage_words(None, OWN, build_settings({}), vouched="", tell=pytest.fail) == ""


def test_a_folder_of_a_server_has_both_addresses_and_the_nodes_own_name() -> None:
    storage = storage_of("127.0.0.1:/nodes/{mac_dashes}")
    options = "nosuid,nodev,addr=127.0.0.1,vers=4.2,clientaddr=10.0.0.9"
    said = f"nfs4 127.0.0.1:/nodes/52-54-00-12-34-56 /srv continue {options}"
    assert storage_words(storage, OWN, build_settings({}), vouched="", tell=pytest.fail) == said


def test_a_folder_by_a_value_that_nobody_knows_is_missing_and_said() -> None:
    said: list[str] = []
    words = storage_words(storage_of("nas:/nodes/{rack}"), OWN, build_settings({}), vouched="", tell=said.append)
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
