"""`publish --trace`: the order of a boot's reads, signed with the images that it is of."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.support.releases.publishing import Place, build_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return build_place(tmp_path)


def write_trace(place: Place, text: str) -> Path:
    path = place.release.parent / "trace"
    path.write_text(text)
    return path


def test_a_trace_is_in_the_manifest_and_stays_with_the_same_images(place: Place) -> None:
    trace = write_trace(place, "# swarmboot trace\nrootfs.squashfs 0 96\n10-a.squashfs 0 1\nrootfs.squashfs 5 5\n")
    assert place.publish("--trace", trace).status == 0
    assert [artifact.trace for artifact in place.manifest(1).artifacts] == [((0, 1),), ((0, 1),)]
    assert place.publish().status == 0
    assert place.publish("--trace", trace).status == 0
    assert not (place.site / "manifests" / "2").exists()
    assert place.verify().status == 0
    assert place.publish("--trace", write_trace(place, "rootfs.squashfs 0 1\n")).status == 0
    assert [artifact.trace for artifact in place.manifest(2).artifacts] == [((0, 1),), ()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("other.squashfs 0 1\n", "names an image that is not there"),
        ("rootfs.squashfs 0 999999999\n", "reads beyond its end"),
        ("rootfs.squashfs\n", "trace:1 is no read"),
        ("", "holds no read"),
    ],
)
def test_a_trace_of_something_else_is_refused_and_nothing_is_published(place: Place, text: str, said: str) -> None:
    done = place.publish("--trace", write_trace(place, text))
    assert done.status == 50
    assert said in done.err
    assert not list((place.site / "channels").glob("*"))


def test_a_trace_that_is_not_there_is_named(place: Place) -> None:
    done = place.publish("--trace", place.release.parent / "none")
    assert (done.status, "none cannot be read" in done.err) == (52, True)


def test_a_root_that_is_unpacked_is_said_to_be_whole_first_whatever_is_asked_for(place: Place) -> None:
    (place.release / "rootfs.squashfs").unlink()
    with tarfile.open(place.release / "rootfs.tar.gz", "w:gz") as archive:
        archive.add(place.release / "plugins", "opt")
    trace = write_trace(place, "rootfs.tar.gz 0 96\n")
    said = "is of no use to rootfs.tar.gz: nodes unpack it, so all of it is fetched before it is used"
    assert said not in place.publish().out
    assert f"note: a trace {said}" in place.publish("--trace", trace).out
    (place.release / "release.toml").write_text("lazy = true\n")
    assert f"note: lazy = true {said}" in place.publish().out
