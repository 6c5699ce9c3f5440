"""The head start: what a boot asks and fetches before trio is there, and what comes of it when it goes wrong."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from leecher.boot import head_start as headstart
from leecher.boot.head_start import HeadStart
from leecher.boot.options import BootOptions
from leecher.boot.start import boot
from leecher.machine import lean_start
from leecher.origin.connection_pool import Connections
from leecher.swarm.counters import BootCounters
from leecher.swarm.dialler import START_S
from leecher.swarm.fetcher import Fetcher
from leecher.swarm.session import Swarm
from swarmboot.errors import KeyFileError, TransferError
from swarmboot.ids import new_node_id
from swarmboot.settings import NodeSettings, build_settings
from tests.support.loopback import (
    Fleet,
    asking,
    booting,
    build_fleet,
    build_release,
    hostile,
    serving,
    status,
)
from tests.support.waiting import BOUND_S, wait_until

SIZE_BYTES = 3_000_000
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libtorrent 2.1 on calls that 2.0 needs


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("fleet")
    return build_fleet(folder, build_release(folder / "release", size_bytes=SIZE_BYTES))


def settings_for(folder: Path, fleet: Fleet, server: str, ca: Path) -> NodeSettings:
    given = {"server": server, "trust": str(fleet.pub), "ca": str(ca), "into": str(folder / "images")}
    return build_settings({**given, "bind": "127.0.0.7", "reserve": "0"})


def authority(fleet: Fleet) -> Path:
    with serving(fleet) as seeder:
        return seeder.ca


@contextmanager
def begun(settings: NodeSettings) -> Iterator[HeadStart]:
    head_start = HeadStart(BootOptions(settings, time.monotonic())).begin()
    yield head_start
    head_start.abandon()


def test_the_first_questions_need_neither_trio_nor_libtorrent() -> None:
    code = "import sys, leecher.machine.lean_start, leecher.boot.start; print({'trio', 'libtorrent'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=BOUND_S, check=True)
    assert done.stdout.strip() == "set()"


def test_the_whole_release_comes_without_a_boot_that_takes_over(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, begun(settings_for(tmp_path, fleet, seeder.address, seeder.ca)) as head_start:
        release = head_start.release()
        assert release is not None
        wait_until("an announce that all is there", lambda: status(seeder)["complete"] > 0, process=seeder.process)
        fetcher = head_start.take_over(release)
        assert fetcher is not None
        assert fetcher.is_complete
        assert head_start.counters.from_origin_bytes >= SIZE_BYTES
        assert {"leecher_start", "manifest"} <= head_start.counters.phases.keys()
        fetcher.close()


def test_another_release_than_the_one_it_began_is_not_taken_over(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        settings = [settings_for(tmp_path / name, fleet, seeder.address, seeder.ca) for name in ("1", "2")]
        with begun(settings[0]) as first, begun(settings[1]) as second:
            other = second.release()
            assert other is not None
            assert first.release() is not None
            assert first.take_over(other) is None


def test_a_boot_that_found_its_release_elsewhere_is_followed_by_no_swarm(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        settings = settings_for(tmp_path, fleet, seeder.address, seeder.ca)
        head_start = HeadStart(BootOptions(settings, time.monotonic()))
        with begun(settings_for(tmp_path / "other", fleet, seeder.address, seeder.ca)) as other:
            elsewhere = other.release()
        assert elsewhere is not None
        assert head_start.take_over(elsewhere) is None
        head_start.begin()
        assert head_start.release() is not None
        head_start.abandon()
        assert head_start.counters.from_origin_bytes == 0
        assert not (tmp_path / "images" / ".partial").exists()


def test_a_turn_that_has_nothing_to_do_says_for_how_long(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, begun(settings_for(tmp_path, fleet, seeder.address, seeder.ca)) as head_start:
        release = head_start.release()
        assert release is not None
        settings = settings_for(tmp_path / "alone", fleet, "", seeder.ca)
        settings.into.mkdir(parents=True)
        for artifact in release.manifest.artifacts:
            (settings.into / artifact.name).write_bytes(b"left behind")
        counters = BootCounters(new_node_id(), time.monotonic())
        fetcher = Fetcher(
            Connections(ssl.create_default_context()), settings, counters, release.manifest.artifacts,
            sequence=release.manifest.sequence, random=Random(1), tell=print,
        )  # fmt: skip
        fetcher.join(Swarm(bind="127.0.0.8", port=0, up_bytes_per_s=0.0), release.documents)
        waits_s: list[float] = []

        def has_joined() -> bool:
            if not fetcher.has_joined:
                waits_s.append(fetcher.step())
            return fetcher.has_joined

        wait_until("a fetcher that has joined", has_joined, every_s=0.01)
        assert not waits_s[:-1] or min(waits_s[:-1]) > 0
        fetcher.step()
        time.sleep(fetcher.step())
        time.sleep(START_S)
        fetcher.step()
        assert fetcher.step() > 0
        fetcher.close()


def test_a_source_that_does_not_answer_is_the_boots_first_failure(tmp_path: Path, fleet: Fleet) -> None:
    settings = settings_for(tmp_path, fleet, "https://127.0.0.1:1", authority(fleet))
    with begun(settings) as head_start:
        head_start.wait()
        with pytest.raises(TransferError, match="cannot be reached"):
            head_start.release()


@pytest.mark.parametrize(("runnable", "looks"), [([0], 1), ([99, 99, 99, 0], 4)], ids=["idle", "busy"])
def test_an_answer_is_waited_for_while_all_processors_are_busy(
    tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, runnable: list[int], looks: int
) -> None:
    looked: list[int] = []

    def runnable_besides() -> int:
        looked.append(runnable[len(looked)])
        return looked[-1]

    monkeypatch.setattr(headstart, "_runnable_besides", runnable_besides)
    monkeypatch.setattr(headstart, "ANSWER_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with begun(settings_for(tmp_path, fleet, address, authority(fleet))) as head_start:
            head_start.wait()
            assert len(looked) == looks


def test_a_silent_seeder_is_waited_for_no_longer_than_it_may_be(
    tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headstart, "_runnable_besides", lambda: 99)
    monkeypatch.setattr(headstart, "ANSWER_S", 0.01)
    monkeypatch.setattr(headstart, "ANSWER_MAX_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with begun(settings_for(tmp_path, fleet, address, authority(fleet))) as head_start:
            waiting = threading.Thread(target=head_start.wait, daemon=True)
            waiting.start()
            waiting.join(BOUND_S)
            assert not waiting.is_alive()


def test_a_server_that_is_silent_does_not_hold_up_the_end_of_a_head_start(
    tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headstart, "_LEAVE_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"https://127.0.0.1:{listener.getsockname()[1]}"
        head_start = HeadStart(BootOptions(settings_for(tmp_path, fleet, server, authority(fleet)), time.monotonic()))
        head_start.connections.connect_s = 3600.0
        head_start.begin()
        held, _ = listener.accept()
        with held:
            held.recv(1)  # a handshake's first byte, so there is a connection to shut down
            head_start.abandon()
            wait_until("the end of the thread", lambda: not head_start._thread.is_alive())
    assert isinstance(head_start.last_failure, TransferError)


def test_an_unusable_authority_is_refused_before_anything_is_asked(tmp_path: Path, fleet: Fleet) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(KeyFileError, match="cannot be used"):
        HeadStart(BootOptions(settings_for(tmp_path, fleet, "https://127.0.0.1:1", tmp_path / "ca.pem"), 0.0))


def test_an_interrupt_before_the_boot_is_there_ends_the_head_start(
    tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lean_start, "import_trio", interrupt)
    with serving(fleet, "--uplink", "8mbit") as seeder:
        settings = settings_for(tmp_path, fleet, seeder.address, seeder.ca)
        with pytest.raises(KeyboardInterrupt):
            boot(BootOptions(settings, time.monotonic()))
        assert "head start" not in {thread.name for thread in threading.enumerate()}


def test_a_seeder_that_answers_no_announce_does_not_keep_a_node_from_its_images(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder, hostile(fleet, "resets", times=2) as origin:
        arguments: list[str | Path] = [
            "--server",
            origin.address,
            "--trust",
            fleet.pub,
            "--ca",
            seeder.ca,
            "--timeout",
            "60s",
        ]
        with booting(tmp_path, 3, *arguments) as node:
            code, said = node.end()
        assert code == 0, said
        assert node.digests() == fleet.digests(fleet.folder / "release")


def test_what_an_earlier_run_left_behind_is_not_leased_again(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        with booting(tmp_path, 4, *asking(seeder, fleet)) as node:
            assert node.end()[0] == 0
        node.report_path.unlink()
        with booting(tmp_path, 4, *asking(seeder, fleet)) as node:
            report = node.report()
        assert report["bytes_from"] == {"neighbours": 0, "origin": 0}


@pytest.mark.parametrize("has_read", [False, True])
def test_a_head_start_is_waited_for_no_longer_than_the_boot_may_take(
    tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, has_read: bool
) -> None:
    monkeypatch.setattr(headstart, "ANSWER_S", 3600.0)
    monkeypatch.setattr(headstart, "BUSY_S", 3600.0)
    settings = settings_for(tmp_path, fleet, "https://127.0.0.1:1", authority(fleet))
    head_start = HeadStart(BootOptions(settings, time.monotonic()))
    if has_read:
        head_start._has_read.set()  # as its thread does, which is not begun: nothing answers
    head_start.wait(time.monotonic())
    # abandon() would wait for that thread
    for end in (head_start._waker, head_start._woken, head_start.connections):
        end.close()
