"""What the seeder knows of its site, whatever lies there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seeder.policy.facts.registry import Registry
from seeder.site.catalogue import GRACE_S, Catalogue
from swarmboot.ids import NodeId, Sequence
from swarmboot.release import layout, manifest, piece_set, trust
from swarmboot.wire.announce import Announce, NodeState
from tests.support.builders import build_artifact, build_keys, build_manifest, build_plugin


def publish(folder: Path, number: int) -> Path:
    """Write manifest `number`, of an artifact of its own."""
    path = folder / layout.manifest_path(Sequence(number))
    path.parent.mkdir(exist_ok=True)
    found = build_manifest(sequence=Sequence(number), artifacts=(build_artifact(f"{number}.squashfs"),))
    path.write_bytes(trust.sign(trust.Kind.MANIFEST, manifest.encode(found), build_keys(1)))
    return path


@pytest.mark.parametrize("what", ["a FIFO", "huge", "empty", "a directory", "a loop of links", "noise"])
def test_a_manifest_that_cannot_be_read_is_passed_over_and_named_once(tmp_path: Path, what: str) -> None:
    path = publish(tmp_path, 2)
    publish(tmp_path, 1)
    path.unlink()
    match what:
        case "a FIFO":
            os.mkfifo(path)
        case "huge":
            with path.open("wb") as file:
                file.truncate(1 << 40)
        case "empty":
            path.touch()
        case "a directory":
            path.mkdir()
        case "a loop of links":
            path.symlink_to(path)
        case _:
            path.write_bytes(os.urandom(1000))
    catalogue = Catalogue(tmp_path, Registry())
    findings = catalogue.refresh()
    assert list(findings.appeared) == [1]
    (complaint,) = findings.complaints
    assert complaint.startswith("manifest 2 is passed over")
    assert catalogue.refresh().complaints == ()
    path.rmdir() if path.is_dir() else path.unlink()
    publish(tmp_path, 2)
    assert list(catalogue.refresh().appeared) == [2]


def test_a_site_that_cannot_be_listed_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, 1)
    catalogue = Catalogue(tmp_path, Registry())
    catalogue.refresh()

    def no_descriptors(_site: Path) -> list[Sequence]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(layout, "manifest_numbers", no_descriptors)
    assert catalogue.refresh().complaints == ("the site cannot be read now: Too many open files",)
    assert catalogue.refresh().complaints == ()
    assert catalogue.newest == 1


def test_what_was_pruned_is_forgotten_after_its_grace_unless_a_node_has_it(tmp_path: Path) -> None:
    now_s = 0.0
    registry = Registry()
    catalogue = Catalogue(tmp_path, registry, clock=lambda: now_s)
    for number in range(1, 301):
        publish(tmp_path, number)
        catalogue.refresh()
        if number > 1:
            (tmp_path / layout.manifest_path(Sequence(number - 1))).unlink()
        if number == 1:
            first = next(iter(registry.torrents))
            node = NodeId(bytes(16))
            nothing = {first: piece_set.encode(0, registry.torrents[first].torrent.count)}
            booting = Announce(node=node, sequence=Sequence(1), state=NodeState.FETCHING, port=1, have=nothing)
            registry.observe(booting, host="10.0.0.1", now_s=now_s)
        now_s += 60
    catalogue.refresh()
    assert list(catalogue.manifests) == [300]
    assert len(registry.torrents) <= 2 + GRACE_S / 60
    assert first in registry.torrents
    registry.forget(node)
    now_s += GRACE_S + 1
    catalogue.refresh()
    assert len(registry.torrents) == 1


def replaced(folder: Path, number: int, name: str) -> None:
    """Write another manifest under the same number, in a file of its own."""
    path = folder / layout.manifest_path(Sequence(number))
    path.unlink()
    found = build_manifest(sequence=Sequence(number), artifacts=(build_artifact(name),))
    path.write_bytes(trust.sign(trust.Kind.MANIFEST, manifest.encode(found), build_keys(1)))


def test_a_site_that_was_made_anew_is_read_anew_and_one_that_was_touched_is_not(tmp_path: Path) -> None:
    path = publish(tmp_path, 1)
    registry = Registry()
    catalogue = Catalogue(tmp_path, registry)
    assert catalogue.refresh().changed == frozenset()
    first = catalogue.manifests[Sequence(1)]
    path.touch()
    findings = catalogue.refresh()
    assert (findings.appeared, findings.changed) == ({}, frozenset())
    assert catalogue.manifests[Sequence(1)] is first
    replaced(tmp_path, 1, "changed.squashfs")
    findings = catalogue.refresh()
    assert (list(findings.appeared), findings.changed) == ([1], frozenset({1}))
    (artifact,) = catalogue.manifests[Sequence(1)].artifacts
    assert artifact.name == "changed.squashfs"
    assert artifact.info_hash in registry.torrents
    assert catalogue.refresh().appeared == {}


def test_a_known_manifest_that_becomes_noise_is_gone_until_it_can_be_read(tmp_path: Path) -> None:
    path = publish(tmp_path, 1)
    catalogue = Catalogue(tmp_path, Registry())
    catalogue.refresh()
    path.write_bytes(b"noise")
    assert catalogue.refresh().gone == {1}
    assert not catalogue.manifests
    publish(tmp_path, 1)
    assert list(catalogue.refresh().appeared) == [1]


def test_a_manifest_for_which_there_was_no_descriptor_is_named_once_and_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, 1)
    catalogue = Catalogue(tmp_path, Registry())

    def no_descriptors(*_path: object, **_most: object) -> bytes:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("seeder.site.catalogue.read_regular_file", no_descriptors)
        assert catalogue.refresh().complaints == ("manifest 1 is passed over, it cannot be read: Too many open files",)
        assert catalogue.refresh().complaints == ()
    assert list(catalogue.refresh().appeared) == [1]


def test_an_image_that_is_unpacked_is_leased_with_what_a_boot_reads(tmp_path: Path) -> None:
    root, archive = build_artifact(trace=((2, 1),)), build_plugin("more.tar", format="tar", size_bytes=150_000)
    path = tmp_path / layout.manifest_path(Sequence(1))
    path.parent.mkdir()
    release = build_manifest(sequence=Sequence(1), artifacts=(root, archive))
    path.write_bytes(trust.sign(trust.Kind.MANIFEST, manifest.encode(release), build_keys(1)))
    registry = Registry()
    Catalogue(tmp_path, registry).refresh()
    assert [registry.torrents[each.info_hash].torrent.boot_set for each in (root, archive)] == [0b100, 0b111]
