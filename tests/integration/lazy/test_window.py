"""Images in use before they are whole: real squashfs, FUSE and loops, a real leecher and seeder (0056)."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest

from leecher.boot.reports.boot_trace import mark_as_up
from netsim.lab.chaos.guests.announcing import Announcer, Torrents
from seeder.trace.export import export
from swarmboot.ids import new_node_id
from swarmboot.release import piece_set
from swarmboot.release.trace import parse_trace
from swarmboot.wire.announce import Announce, NodeState
from swarmboot.wire.report import VERIFIED
from tests.support.lazy import (
    LazyNode,
    attached_loops,
    booting_lazily,
    booting_without_devices,
    fuse_connections,
    make_squashfs,
)
from tests.support.loopback import Fleet, Seeder, asking, booting, build_fleet, serving, status
from tests.support.relay import Pace, throttled
from tests.support.shells import drive
from tests.support.tree import TREE
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("mksquashfs", "mount", "umount")]

SLOW_BYTES_PER_S = 3e6
OPEN_BYTES_PER_S = 4e5
"""What the window stays open with for a quarter of a minute, unless the test lets the rest through."""
Held = dict[str, dict[str, bytes]]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, Held]:
    """Return a fleet whose release has a root of about 7 MB and two plugins, and what is in each."""
    folder = tmp_path_factory.mktemp("lazy")
    held = {
        "rootfs.squashfs": make_squashfs(folder / "release" / "rootfs.squashfs", files=120, seed=1),
        "10-a.squashfs": make_squashfs(folder / "release" / "plugins" / "10-a.squashfs", files=8, seed=2),
        "20-b.squashfs": make_squashfs(folder / "release" / "plugins" / "20-b.squashfs", files=8, seed=3),
    }
    for tree in [*folder.glob("release/*.tree"), *folder.glob("release/plugins/*.tree")]:
        tree.rename(folder / tree.name)
    return build_fleet(folder, folder / "release"), held


class Reader(threading.Thread):
    """Reads random files of a node's images, past the page cache where it can, until it is stopped."""

    def __init__(self, node: LazyNode, held: Held, seed: int) -> None:
        super().__init__(daemon=True)
        self.reads, self.faults, self.longest_s = 0, list[str](), 0.0
        self._node, self._held, self._random = node, held, Random(seed)
        self._is_stopped = False

    def run(self) -> None:
        while not self._is_stopped and not self.faults:
            image = self._random.choice([*self._held])
            name = self._random.choice([*self._held[image]])
            began_s = time.monotonic()
            try:
                if (self._node.mounted[image] / name).read_bytes() != self._held[image][name]:
                    self.faults.append(f"{image}/{name} is another")
            except OSError as error:
                self.faults.append(f"{image}/{name}: {error}")
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)
            self.reads += 1

    def stop(self) -> None:
        self._is_stopped = True
        self.join(60)


@contextmanager
def reading(node: LazyNode, held: Held, count: int = 4) -> Iterator[list[Reader]]:
    readers = [Reader(node, held, seed) for seed in range(count)]
    for reader in readers:
        reader.start()
    try:
        yield readers
    finally:
        for reader in readers:
            reader.stop()


@contextmanager
def lazy_boot(folder: Path, fleet: Fleet) -> Iterator[tuple[LazyNode, Pace]]:
    """Boot one node from a seeder whose link carries little until the pace ends."""
    pace = Pace(OPEN_BYTES_PER_S)
    with (
        serving(fleet, "--uplink", f"{SLOW_BYTES_PER_S * 8:.0f}bit") as near,
        throttled(near, pace) as seeder,
        booting_lazily(folder, 1, *asking(seeder, fleet)) as node,
    ):
        yield node, pace


def read_all(node: LazyNode, held: Held) -> None:
    for image, files in held.items():
        for name, data in files.items():
            assert (node.mounted[image] / name).read_bytes() == data


def test_images_are_read_before_they_are_whole_and_their_files_exchanged_under_readers(
    tmp_path: Path, release: tuple[Fleet, Held]
) -> None:
    fleet, held = release
    with fuse_connections(tmp_path / "fusectl") as connections, lazy_boot(tmp_path, fleet) as (node, pace):
        own = {device.partition(":")[2] for _, device, *_ in attached_loops(node.devices.values())}
        assert own
        assert own <= connections()
        assert node.exchange_ms() is None
        with reading(node, held) as readers:
            wait_until("a read", lambda: all(reader.reads for reader in readers), process=node.server)
            assert node.exchange_ms() is None, "it was whole before anything was read"
            pace.end()
            node.wait_for_exchange()
            reads = [reader.reads for reader in readers]
            wait_until("reads after it", lambda: all(r.reads > n for r, n in zip(readers, reads, strict=True)))
        assert [fault for reader in readers for fault in reader.faults] == []
        assert node.leecher.end()[0] == 0
        wait_until("the end of the connection", lambda: not own & connections())
        subprocess.run(["sh", "-c", "echo 3 >/proc/sys/vm/drop_caches"], check=False)
        read_all(node, held)


def test_a_boot_that_is_traced_hands_in_what_it_has_read_once_its_system_is_up(
    tmp_path: Path, release: tuple[Fleet, Held]
) -> None:
    fleet, held = release
    wanted = [*held["rootfs.squashfs"]][::20]
    with serving(fleet) as seeder, booting_lazily(tmp_path, 1, *asking(seeder, fleet), "--trace") as node:
        for name in wanted:
            assert (node.mounted["rootfs.squashfs"] / name).read_bytes() == held["rootfs.squashfs"][name]
        whole = [node.leecher.into / name for name in held]
        wait_until("whole images", lambda: all(path.is_file() for path in whole), process=node.server)
        assert node.exchange_ms() is None, "the window was closed before the system was up"
        mark_as_up(tmp_path)  # there is no folder for the mark
        (tmp_path / "stage0").mkdir()
        mark_as_up(tmp_path)
        node.wait_for_exchange()
        assert node.leecher.end()[0] == 0
        seeder.wait_for_line("handed in what its boot has read of manifest 1")
        text, _ = export(seeder.ca.parent, fleet.site)
    reads = parse_trace(text, where="trace")["rootfs.squashfs"]
    assert {f"/{name}" for name in wanted} <= {read.path for read in reads}
    assert len({read.path for read in reads}) < len(held["rootfs.squashfs"]) // 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "asked to"])
def test_a_fetcher_that_ends_in_the_window_is_started_again_and_no_read_fails(
    tmp_path: Path, release: tuple[Fleet, Held], number: int
) -> None:
    fleet, held = release
    with lazy_boot(tmp_path, fleet) as (node, pace):
        with reading(node, held) as readers:
            os.kill(node.fetcher_pid(), number)
            pace.end()
            node.wait_for_exchange()
        assert [fault for reader in readers for fault in reader.faults] == []
        assert node.leecher.end()[0] == 0
        read_all(node, held)


def test_a_server_of_reads_that_dies_in_the_window_ends_in_errors_and_a_report_and_not_in_silence(
    tmp_path: Path, release: tuple[Fleet, Held]
) -> None:
    fleet, held = release
    with lazy_boot(tmp_path, fleet) as (node, _):
        with reading(node, held) as readers:
            wait_until("a read", lambda: all(reader.reads for reader in readers), process=node.server)
            node.server.kill()
            wait_until("errors", lambda: all(reader.faults for reader in readers))
        assert all("rror" in fault or str(errno.EIO) in fault for reader in readers for fault in reader.faults)
        report = node.leecher.report_path
        wait_until("a report", report.exists)
        assert "the server of reads failed" in report.read_text()


def test_an_attempt_again_from_the_rescue_shell_ends_the_window_of_the_one_before(
    tmp_path: Path, release: tuple[Fleet, Held]
) -> None:
    fleet, _ = release
    run = tmp_path / "run"
    (run / "handover").mkdir(parents=True)
    pace = Pace(OPEN_BYTES_PER_S)
    with serving(fleet, "--uplink", "24mbit") as near, throttled(near, pace) as seeder:
        with booting_lazily(tmp_path, 1, *asking(seeder, fleet)) as node:
            devices = "".join(f"{name} {device}\n" for name, device in node.devices.items())
            loops = attached_loops(node.devices.values())
            (run / "handover/devices").write_text(devices)
            (run / "handover/server").write_text(f"{node.server.pid}\n")
            for place in node.mounted.values():  # as the hook's own would be
                (run / "layers").mkdir(exist_ok=True)
                subprocess.run(["umount", place], check=True)
            fetcher = node.fetcher_pid()
            threading.Thread(target=node.server.wait, daemon=True).start()  # its parent waits for it, as in the hook
            call = f'swarmboot_leecher() {{ {sys.executable} -m "$@"; }}; swarmboot_end_window {tmp_path}/root'
            assert drive(("dash",), run, call) == (0, "")
            assert node.exchange_ms() is None, "it was over already"
            assert not Path(f"/proc/{fetcher}").exists()
            assert len(loops) == len(node.devices)
            wait_until(
                "loops let go of", lambda: not loops & attached_loops(node.devices.values())
            )  # at the last close
        assert [*(run / "handover").iterdir()] == []
        pace.end()
        with booting(tmp_path, 1, *asking(seeder, fleet)) as leecher:
            status, said = leecher.end()
            assert status == 0, said


def test_a_machine_that_can_have_no_window_says_so_and_has_all_of_its_images_in_the_end(
    tmp_path: Path, release: tuple[Fleet, Held]
) -> None:
    fleet, _ = release
    with serving(fleet) as seeder, booting_without_devices(tmp_path, 1, *asking(seeder, fleet)) as leecher:
        status, said = leecher.end()
        assert status == 0, said
        assert "images cannot be read before they are whole: " in said
        assert leecher.report()["outcome"] == VERIFIED


def test_a_plugin_that_is_unpacked_is_whole_and_has_its_name_when_the_root_is_in_use(tmp_path: Path) -> None:
    release, data = tmp_path / "release", Random(5).randbytes(3_000_000)  # the largest comes first
    make_squashfs(release / "rootfs.squashfs", files=40, seed=1)
    (release / "rootfs.tree").rename(tmp_path / "rootfs.tree")
    (release / "plugins").mkdir()
    (tmp_path / "driver").write_bytes(data)
    with tarfile.open(release / "plugins" / "10-driver.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "driver", "opt/driver")
    packed = (release / "plugins" / "10-driver.tar.gz").read_bytes()
    with lazy_boot(tmp_path, build_fleet(tmp_path, release)) as (node, pace):
        plugin = node.leecher.into / "10-driver.tar.gz"
        assert node.exchange_ms() is None
        assert plugin.read_bytes() == packed
        assert [*node.devices] == ["rootfs.squashfs"]
        pace.end()
        node.wait_for_exchange()
        assert node.leecher.end()[0] == 0
        assert not plugin.is_symlink()
        assert plugin.read_bytes() == packed


def test_a_seeder_that_is_gone_in_the_window_costs_nothing_while_a_neighbour_lives(
    tmp_path: Path, release: tuple[Fleet, Held]
) -> None:
    fleet, held = release
    with ExitStack() as stack:
        seeder = stack.enter_context(serving(fleet, "--uplink", "1gbit"))
        warm = stack.enter_context(booting(tmp_path, 2, *asking(seeder, fleet), "--linger", "--up", "2MB/s"))
        warm.report()
        slow = stack.enter_context(throttled(seeder, OPEN_BYTES_PER_S))
        node = stack.enter_context(booting_lazily(tmp_path, 1, *asking(slow, fleet)))
        seeder.process.kill()
        assert node.exchange_ms() is None
        with reading(node, held) as readers:
            node.wait_for_exchange()
        assert [fault for reader in readers for fault in reader.faults] == []
        read_all(node, held)


def test_what_a_lying_neighbour_sends_in_the_window_is_read_by_nobody_and_it_is_banned(
    tmp_path: Path, release: tuple[Fleet, Held]
) -> None:
    fleet, held = release
    host, folder = "127.0.0.1", tmp_path / "liar"
    folder.mkdir()
    with serving(fleet, "--uplink", "24mbit") as seeder, throttled(seeder, SLOW_BYTES_PER_S) as slow:
        words = [seeder.address.removeprefix("https://"), seeder.ca, fleet.site, host, "1.0", "1", folder]
        liar = subprocess.Popen(
            [sys.executable, "-m", "netsim.lab.chaos.guests.liar", *map(str, words)],
            cwd=TREE,
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_until("a liar who is announced", lambda: status(seeder)["nodes"], process=liar)
            with booting_lazily(tmp_path, 1, *asking(slow, fleet)) as node:
                with reading(node, held) as readers:
                    node.wait_for_exchange()
                assert [fault for reader in readers for fault in reader.faults] == []
                read_all(node, held)
                report = node.leecher.report()
            assert report["outcome"] == VERIFIED
            assert report["hash_failures"] > 0
            assert [ban for ban in report["bans"] if host in str(ban)], report["bans"]
        finally:
            liar.kill()
            liar.wait()


def test_who_claims_what_a_boot_reads_and_never_sends_it_does_not_keep_it_until_all_else_is_there(
    tmp_path: Path,
) -> None:
    release, is_over = tmp_path / "release", threading.Event()
    make_squashfs(release / "rootfs.squashfs", files=120, seed=1)
    (release / "rootfs.tree").rename(tmp_path / "rootfs.tree")
    (tmp_path / "trace").write_text("rootfs.squashfs 0 200000\n")
    fleet = build_fleet(tmp_path, release)
    fleet.publish(release, "--trace", str(tmp_path / "trace"))
    torrents = Torrents(fleet.site)
    (root,) = torrents.by_hash

    def claim(seeder: Seeder) -> None:
        announcer = Announcer(seeder.address.removeprefix("https://"), seeder.ca)
        have = {root: piece_set.encode(piece_set.all_pieces(4), torrents.by_hash[root].num_pieces())}
        said = Announce(new_node_id(), torrents.sequence, NodeState.FETCHING, port=6997, have=have)
        while not is_over.wait(0.5):
            announcer.announce(said)
        announcer._connection.close()

    with serving(fleet, "--uplink", "4mbit") as seeder, throttled(seeder, 4.5e5) as slow:
        liar = threading.Thread(target=claim, args=(seeder,), daemon=True)
        liar.start()
        wait_until("a node who claims", lambda: status(seeder)["nodes"], process=seeder.process)
        with booting_lazily(tmp_path, 1, *asking(slow, fleet)) as node:
            ready_s = time.monotonic()
            node.wait_for_exchange()
            assert time.monotonic() - ready_s > 2.0, "it was ready when all was there"
        is_over.set()
        liar.join()
