"""What a node does with an answer to its lines: it keeps what was not taken, and asks nobody who takes none again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest

from leecher.boot.reports.log_sender import LogSender, LogSource, Speaker, log_sent
from leecher.machine.kernel_log import open_kernel_log
from leecher.origin.connection_pool import Connections, tls_context
from leecher.swarm.counters import BootCounters
from swarmboot.ids import NodeId, NodeKey, new_node_id
from swarmboot.wire.node_log import Taken, decode_lines, encode_taken

SPEAKER = Speaker(NodeId(bytes(16)), NodeKey(b""), None)


class Origin(ThreadingHTTPServer):
    """Takes `most` lines of each post and keeps them; answers with another status if it has one."""

    daemon_threads = True

    def __init__(self, *, most: int, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.most, self.status, self.posts, self.kept = most, status, 0, list[str]()


class _Handler(BaseHTTPRequestHandler):
    server: Origin
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        said = decode_lines(self.rfile.read(int(self.headers["content-length"])))
        taken = said.lines[: self.server.most]
        self.server.posts += 1
        self.server.kept += [each.text for each in taken]
        body = encode_taken(Taken(len(taken), 0.0))
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def origin(*, most: int, status: int = 200) -> Iterator[Origin]:
    server = Origin(most=most, status=status)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def sending(server: Origin, tmp_path: Path, *, lines: int, noted: list[int] | None = None) -> Iterator[LogSender]:
    path = tmp_path / "kmsg"
    path.write_text("".join(f"6,{number},{number},-;line {number}\n" for number in range(lines)))
    kernel = open_kernel_log(path)
    assert kernel is not None
    source = LogSource(kernel, (noted if noted is not None else []).append)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    with closing(Connections(tls_context(None))) as connections, closing(kernel):
        yield LogSender(url, connections, source, lambda: SPEAKER, Random(1))


def test_what_is_not_taken_is_brought_again_and_how_far_it_is_is_noted(tmp_path: Path) -> None:
    noted: list[int] = []
    with origin(most=300) as server, sending(server, tmp_path, lines=1000, noted=noted) as sender:
        sender.flush(10.0)
        assert server.kept == [f"line {number}" for number in range(1000)]
    assert noted == [299, 599, 899, 999]


def test_a_seeder_that_can_take_none_now_ends_a_flush_and_nothing_is_lost(tmp_path: Path) -> None:
    with origin(most=0) as server, sending(server, tmp_path, lines=10) as sender:
        sender.flush(10.0)
        assert (server.posts, server.kept) == (1, [])
        server.most = 10
        sender.flush(10.0)
        assert len(server.kept) == 10


@pytest.mark.parametrize("status", [404, 405])
def test_who_is_no_seeder_or_an_older_one_is_asked_once(tmp_path: Path, status: int) -> None:
    with origin(most=10, status=status) as server, sending(server, tmp_path, lines=10) as sender:
        sender.flush(10.0)
        sender.begin()  # it ends by itself
        sender.stop(last_s=5.0)
        assert server.posts == 1


def test_lines_of_its_own_are_handed_in_beside_the_kernels(tmp_path: Path) -> None:
    with origin(most=10) as server, sending(server, tmp_path, lines=1) as sender:
        sender.said("verified")
        sender.flush(10.0)
        assert sorted(server.kept) == ["line 0", "verified"]


def open_descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", ""])
def test_a_boot_that_hands_in_nothing_keeps_no_descriptor(tmp_path: Path, server: str) -> None:
    (tmp_path / "kmsg").write_text("")
    with closing(Connections(tls_context(None))) as connections:
        before = open_descriptors()
        source = LogSource(open_kernel_log(tmp_path / "kmsg"))
        with log_sent(server, BootCounters(new_node_id(), started_s=0.0), connections, source):
            assert open_descriptors() == before
