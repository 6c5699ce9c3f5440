"""Proves that a runtime image can do all a leecher needs: run in a chroot when the image is built, never on a node.

`python -m leecher.selftest`, as root, in a network namespace of its own: it listens on 127.0.0.1, port 53 included.
A check that fails raises, and the build fails with it.
"""

from __future__ import annotations

from leecher import initramfs, run  # noqa: F401 - all that a boot imports

# isort: split
import datetime
import importlib
import ipaddress
import pkgutil
import select
import socket
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

import libtorrent as lt
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

import leecher
import swarmboot
from leecher.connections import Connections, tls_context
from leecher.neighbours import neighbour_reader
from leecher.origin import Origin
from leecher.swarm import Swarm
from swarmboot.trust import Kind, key_set, public_bytes, sign, verify

_HOST = "runtime.test"
_ADDRESS = "127.0.0.1"
_PATIENCE_S = 10.0


def check_imports() -> None:
    """Import every module of the leecher and of the ground below it."""
    for package in (leecher, swarmboot):
        for module in pkgutil.iter_modules(package.__path__):
            if module.name not in ("cli", "__main__"):
                importlib.import_module(f"{package.__name__}.{module.name}")
    for name in ("zlib", "gzip", "lzma", "hashlib", "encodings.idna", "stringprep", "_strptime"):
        importlib.import_module(name)


def check_signatures() -> None:
    """Sign and verify with Ed25519."""
    key = Ed25519PrivateKey.generate()
    envelope = sign(Kind.CHANNEL, b"self-test", [key])
    assert verify(envelope, Kind.CHANNEL, key_set([public_bytes(key)])) == b"self-test"


def check_names() -> None:
    """Resolve a name by asking the DNS server that /etc/resolv.conf names: one of our own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((_ADDRESS, 53))
        thread = threading.Thread(target=_answer_names, args=(server,), daemon=True)
        thread.start()
        found = socket.getaddrinfo(_HOST, 1, family=socket.AF_INET, type=socket.SOCK_STREAM)
    assert found[0][4][0] == _ADDRESS, found


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
            assert trio.run(_read, url, certificate) == b"self-test"


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self-test")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(_ADDRESS))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "self-test.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
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
        assert trio.run(read, "channels/stable.swarm", 100) == b"self-test"


def check_swarm() -> None:
    """Open a BitTorrent session and listen."""
    swarm = Swarm(bind=_ADDRESS, port=0, up_bytes_per_s=0)
    while not swarm.port:
        select.select([swarm.woken], [], [], _PATIENCE_S)
        swarm.events()
    swarm.close()


def main() -> None:
    """Run every check and print what it took."""
    for check in (check_imports, check_signatures, check_names, check_tls, check_neighbours, check_swarm):
        began_s = time.monotonic()
        check()
        print(f"self-test: {check.__name__.removeprefix('check_')} in {time.monotonic() - began_s:.2f} s")
    print(f"self-test: Python {sys.version.split()[0]}, libtorrent {lt.__version__}, trio {trio.__version__}")


if __name__ == "__main__":
    main()
