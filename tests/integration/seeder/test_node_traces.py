"""What boots have read is taken from nodes, looked at, kept by manifest, and believed in nothing but an order."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from seeder.serve.node_traces import GAP_S
from seeder.squashfs.places import Part, bytes_under
from seeder.squashfs.reader import Squashfs, read_squashfs
from swarmboot.ids import NodeId, NodeKey
from swarmboot.wire.trace_report import TRACE_MAX_BYTES, TRACE_PATH, NodeTrace, encode_trace
from tests.support.commands import run
from tests.support.liars import lying_host
from tests.support.liars.lying_host import Liar
from tests.support.loopback import Fleet, Seeder, build_fleet, serving
from tests.support.releases.squashes import grow_tree, pack_tree
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("mksquashfs")
KEY = NodeKey(b"k" * 16)


@dataclass(frozen=True, slots=True)
class Place:
    """A seeder of a real squashfs, and the names of the files in that."""

    fleet: Fleet
    seeder: Seeder
    image: bytes
    squashfs: Squashfs
    names: list[str]

    @property
    def traces(self) -> Path:
        return self.seeder.ca.parent / "traces"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("traces")
    names = grow_tree(folder / "tree", files=20)
    (folder / "release").mkdir()
    image = folder / "release" / "rootfs.squashfs"
    pack_tree(folder / "tree", image, "-noD", "-noF", "-no-fragments")
    fleet = build_fleet(folder, folder / "release")
    with serving(fleet) as seeder:
        yield Place(fleet, seeder, image.read_bytes(), read_squashfs(image, label="image"), names)


def announced(liar: Liar) -> NodeId:
    node = NodeId(os.urandom(16))
    assert liar.announce(lying_host.announce(node=node, key=KEY))[0] == 200
    return node


def post(liar: Liar, node: NodeId, text: str, *, key: NodeKey = KEY, sequence: int = 1) -> int:
    """Hand in a trace, after those before it have had their time."""
    time.sleep(GAP_S + 0.1)
    return liar.post(TRACE_PATH, encode_trace(NodeTrace(node, sequence, text, key)))[0]


def test_a_nodes_trace_is_kept_and_written_by_files_and_the_last_one_counts(place: Place, tmp_path: Path) -> None:
    state = place.seeder.ca.parent
    wanted = [f"/{place.names[7]}", f"/{place.names[3]}"]
    at = [read for name in wanted for read in bytes_under(place.squashfs, Part(name.encode(), 0, 1 << 20))]
    reads = "".join(f"rootfs.squashfs {first_byte} {size_bytes}\n" for first_byte, size_bytes in at)
    with Liar(place.seeder) as liar:
        node = announced(liar)
        assert post(liar, node, "rootfs.squashfs 0 96\n") == 204
        assert post(liar, node, f"# x\nrootfs.squashfs 0 96\n{reads}") == 204
    place.seeder.wait_for_line(f"handed in what its boot has read of manifest 1: {1 + len(at)} reads")
    assert run("trace", "list", "--state", state).out == "manifest 1\n"
    done = run("trace", "export", place.fleet.site, "--state", state, "--output", tmp_path / "trace")
    assert done.status == 0, done.err
    lines = (tmp_path / "trace").read_text().splitlines()
    assert list(dict.fromkeys(line.split(" ", 3)[3] for line in lines[1:])) == wanted
    assert (place.traces / "1").stat().st_mode & 0o777 == 0o600
    found = run("trace", "export", place.fleet.site, "--state", state, "--manifest", "2")
    assert (found.status, found.err.count("\n")) == (50, 1)


def test_what_is_no_trace_is_refused_and_nothing_of_it_is_kept(place: Place) -> None:
    before = sorted(path.read_bytes() for path in place.traces.glob("*"))
    with Liar(place.seeder, host="127.0.0.98") as liar:
        assert post(liar, announced(liar), f"rootfs.squashfs {len(place.image)} 1\n") == 400
        assert liar.post(TRACE_PATH, Random(1).randbytes(400))[0] == 400
    assert sorted(path.read_bytes() for path in place.traces.glob("*")) == before


def test_a_body_too_large_is_not_read_and_nobody_hands_in_anothers(place: Place) -> None:
    with Liar(place.seeder, host="127.0.0.97") as liar:
        assert liar.post(TRACE_PATH, b"x" * (TRACE_MAX_BYTES + 1))[0] == 413
    with Liar(place.seeder, host="127.0.0.96") as liar, Liar(place.seeder, host="127.0.0.95") as other:
        node = announced(liar)
        assert post(other, node, "rootfs.squashfs 0 1\n", key=NodeKey(b"z" * 16)) == 403
        assert post(liar, NodeId(os.urandom(16)), "rootfs.squashfs 0 1\n") == 403


def test_traces_that_come_one_after_the_other_are_put_off(place: Place) -> None:
    with Liar(place.seeder, host="127.0.0.94") as liar:
        node = announced(liar)
        assert post(liar, node, "rootfs.squashfs 0 1\n") == 204
        assert liar.post(TRACE_PATH, encode_trace(NodeTrace(node, 1, "rootfs.squashfs 0 1\n", KEY)))[0] == 503
        wait_until(
            "room for the next",
            lambda: liar.post(TRACE_PATH, encode_trace(NodeTrace(node, 1, "rootfs.squashfs 0 1\n", KEY)))[0] == 204,
            every_s=0.5,
        )
