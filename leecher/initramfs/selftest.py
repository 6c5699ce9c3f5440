"""Proves that a runtime image can do all a leecher needs: run in a chroot when the image is built, never on a node.

`python -m leecher.initramfs.selftest`, as root, in a network namespace of its own: it listens on 127.0.0.1, port 53
included. A check that fails raises, and the build fails with it.
"""

from __future__ import annotations

import leecher.boot.run
import leecher.initramfs.__main__  # all that a boot imports

# isort: split
import hashlib
import importlib
import pkgutil
import select
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libtorrent as lt
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import leecher
import swarmboot
from leecher.origin.client import Origin
from leecher.origin.connection_pool import Connections, tls_context
from leecher.release.neighbour_client import neighbour_reader
from leecher.swarm.session import Swarm
from swarmboot.crypto.certificates import make_server_certificate
from swarmboot.ids import Digest, InfoHash
from swarmboot.release.manifest import Artifact, Role
from swarmboot.release.merkle import BLOCK_BYTES, root_of_layer
from swarmboot.release.trust import Kind, key_set, public_bytes, sign, verify

NOT_ON_A_NODE = (
    "leecher.cli",
    "leecher.__main__",
    "swarmboot.cli",
    "swarmboot.completion",
    "swarmboot.__main__",
    "swarmboot.config_file",
    "swarmboot.man_pages",
    "swarmboot.parameters",
    "swarmboot.usage",
    "swarmboot.verbs",
    "swarmboot.text.toml",
)
"""Modules that are for people and their files: a node never imports them, and the image lacks what they need."""

_HOST = "runtime.test"
_ADDRESS = "127.0.0.1"
_PATIENCE_S = 10.0
_LAST_PIECE_BYTES = BLOCK_BYTES + 1000


class SelfTestError(Exception):
    """What makes an image one that is not to be had."""


def _expect(found: object, expected: object) -> None:
    """Raise SelfTestError for what is not as expected: an image is compiled without what `assert` says."""
    if found != expected:
        raise SelfTestError(f"expected {expected!r}, found {found!r}")


def check_imports() -> None:
    """Import every module of the leecher and of the ground below it."""
    for package in (leecher, swarmboot):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in NOT_ON_A_NODE:
                importlib.import_module(module.name)
    for name in ("zlib", "gzip", "lzma", "hashlib", "encodings.idna", "stringprep", "_strptime"):
        importlib.import_module(name)


def check_signatures() -> None:
    """Sign and verify with Ed25519."""
    key = Ed25519PrivateKey.generate()
    envelope = sign(Kind.CHANNEL, b"self-test", [key])
    _expect(verify(envelope, Kind.CHANNEL, key_set([public_bytes(key)])), b"self-test")


def check_names() -> None:
    """Resolve a name by asking the DNS server that /etc/resolv.conf names: one of our own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((_ADDRESS, 53))
        thread = threading.Thread(target=_answer_names, args=(server,), daemon=True)
        thread.start()
        found = socket.getaddrinfo(_HOST, 1, family=socket.AF_INET, type=socket.SOCK_STREAM)
    _expect(found[0][4][0], _ADDRESS)


def _answer_names(server: socket.socket) -> None:
    while True:
        try:
            query, asker = server.recvfrom(512)
        except OSError:
            return
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(_ADDRESS)
        server.sendto(query[:2] + b"\x81\x80" + query[4:6] + b"\0\1\0\0\0\0" + query[12:].split(b"\0\0\1\0\1")[0]
                      + b"\0\0\1\0\1" + answer, asker)  # fmt: skip


def check_tls() -> None:
    """Fetch a document over HTTPS from a server with a certificate made just now."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = _certificate(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with socket.create_server((_ADDRESS, 0)) as listener:
            threading.Thread(target=_serve_securely, args=(listener, context), daemon=True).start()
            url = f"https://{_ADDRESS}:{listener.getsockname()[1]}/"
            _expect(trio.run(_read, url, certificate), b"self-test")


def _certificate(folder: Path) -> Path:
    certificate, key = make_server_certificate("self-test", _ADDRESS)
    path = folder / "self-test.pem"
    path.write_bytes(key + certificate)
    return path


def _serve_securely(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    with context.wrap_socket(connection, server_side=True) as secure:
        _answer_request(secure)


def _serve_plainly(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        _answer_request(connection)


def _answer_request(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nself-test")


async def _read(url: str, authority: Path) -> bytes:
    return await Origin(Connections(tls_context(authority))).document(url, max_bytes=100)


def check_neighbours() -> None:
    """Fetch a document from a neighbour, over plain HTTP: what only a boot without a seeder does."""
    with socket.create_server((_ADDRESS, 0)) as listener:
        threading.Thread(target=_serve_plainly, args=(listener,), daemon=True).start()
        read = neighbour_reader(f"http://{_ADDRESS}:{listener.getsockname()[1]}")
        _expect(trio.run(read, "channels/stable.swarm", 100), b"self-test")


def check_swarm() -> None:
    """Open a BitTorrent session and listen."""
    swarm = Swarm(bind=_ADDRESS, port=0, up_bytes_per_s=0)
    while not swarm.port:
        select.select([swarm.woken], [], [], _PATIENCE_S)
        swarm.events()
    swarm.close()


def check_last_piece() -> None:
    """Hand in a file that ends within a piece, and have all of it: not every libtorrent takes such a piece alike."""
    data = bytes(_LAST_PIECE_BYTES)
    artifact, torrent = _artifact(data)
    with tempfile.TemporaryDirectory() as folder:
        swarm = Swarm(bind=_ADDRESS, port=0, up_bytes_per_s=0)
        swarm.add(artifact, torrent, Path(folder), "image")
        _until(swarm, lambda: swarm.is_checked(artifact.info_hash))
        swarm.start(artifact.info_hash, ())
        for index in range(artifact.pieces):
            swarm.insert(artifact.info_hash, index, data[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES])
        _until(swarm, lambda: swarm.pieces(artifact.info_hash).bit_count() == artifact.pieces)
        swarm.close()


def _until(swarm: Swarm, is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        if time.monotonic() >= deadline_s:
            raise SelfTestError("libtorrent does not take a piece that is handed in")
        select.select([swarm.woken], [], [], 0.1)
        swarm.events()


def _artifact(data: bytes) -> tuple[Artifact, bytes]:
    """Return an artifact of pieces of one block, and its torrent."""
    layer = [hashlib.sha256(data[start : start + BLOCK_BYTES]).digest() for start in range(0, len(data), BLOCK_BYTES)]
    root = root_of_layer(layer, piece_bytes=BLOCK_BYTES)
    info: Any = {
        b"file tree": {b"image": {b"": {b"length": len(data), b"pieces root": root}}},
        b"meta version": 2, b"name": b"image", b"piece length": BLOCK_BYTES,
    }  # fmt: skip
    whole: Any = {b"info": info, b"piece layers": {root: b"".join(layer)}}
    torrent: bytes = lt.bencode(whole)
    info_hash, digest = InfoHash(hashlib.sha256(lt.bencode(info)).digest()), Digest(hashlib.sha256(data).digest())
    return Artifact("image", Role.ROOT, "squashfs", len(data), digest, info_hash, BLOCK_BYTES), torrent


def main() -> None:
    """Run every check and print what it took."""
    for check in (check_imports, check_signatures, check_names, check_tls, check_neighbours, check_swarm,
                  check_last_piece):  # fmt: skip
        began_s = time.monotonic()
        check()
        print(f"self-test: {check.__name__.removeprefix('check_')} in {time.monotonic() - began_s:.2f} s")
    print(f"self-test: Python {sys.version.split()[0]}, libtorrent {lt.__version__}, trio {trio.__version__}")


if __name__ == "__main__":
    main()
