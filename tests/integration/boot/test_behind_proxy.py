"""A rack behind a proxy, NAT or published port, or a server on a socket for both families: it swaps all the same."""

from __future__ import annotations

import re
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.loopback import (
    Fleet,
    Seeder,
    asking,
    booting,
    build_release,
    serving,
)

IMAGE_BYTES = 24_000_000
MAC = "52-54-00-00-00-09"


@contextmanager
def forwarded(address: str) -> Iterator[str]:
    """Forward TCP to `HOST:PORT`, as socat or a published port does; yield the address to ask at."""
    host, _, port = address.rpartition(":")
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
        threads: list[threading.Thread] = []
        ends: list[socket.socket] = []

        def start(target: Callable[..., None], *arguments: object) -> None:
            threads.append(threading.Thread(target=target, args=arguments, daemon=True))
            threads[-1].start()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    near = opened.enter_context(listener.accept()[0])
                    far = opened.enter_context(
                        socket.create_connection((host, int(port)), source_address=("127.0.0.99", 0))
                    )
                    ends.extend((near, far))
                    start(pump, near, far)
                    start(pump, far, near)

        def pump(source: socket.socket, sink: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(1 << 16):
                    sink.sendall(data)
            shut(source, sink)

        start(accept)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        shut(listener)
        threads[0].join(20)
        shut(*ends)
        for thread in threads:
            thread.join(20)


def shut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxy") / "release"
    return build_release(folder, size_bytes=IMAGE_BYTES, plugins=0, stage0_bytes=200_000)


def boot_rack(fleet: Fleet, seeder: Seeder, folder: Path, server: str, count: int) -> int:
    """Boot nodes together at addresses of their own; return how many bytes of the image the origin sent them."""
    with ExitStack() as stack:
        how = [*asking(seeder, fleet), "--server", server, "--linger"]
        nodes = [stack.enter_context(booting(folder, number, *how)) for number in range(1, count + 1)]
        reports = [node.report() for node in nodes]
    assert all(sum(report["bytes_from"].values()) >= IMAGE_BYTES for report in reports)
    return sum(report["bytes_from"].get("origin", 0) for report in reports)


def test_nodes_behind_one_proxy_swap_on_their_own_lan_and_the_log_says_why(fleet: Fleet, tmp_path: Path) -> None:
    with ExitStack() as stack:
        seeder = stack.enter_context(serving(fleet, "--uplink", "40mbit"))
        proxy = stack.enter_context(forwarded(seeder.address.removeprefix("https://")))
        sent_bytes = boot_rack(fleet, seeder, tmp_path, f"https://{proxy}", 3)
        line = seeder.wait_for_line("seem to be at 127.0.0.99")
        assert "a proxy or NAT stands between" in line
    assert sent_bytes < 1.5 * IMAGE_BYTES, f"{sent_bytes / IMAGE_BYTES:.2f} copies"
    print(f"{sent_bytes / IMAGE_BYTES:.2f} copies for 3 nodes behind one proxy")


def script(url: str, **headers: str) -> str:
    request = urllib.request.Request(f"{url}/boot.ipxe?mac={MAC}", headers=headers)
    return str(urllib.request.urlopen(request, timeout=30).read().decode())


def stage0_address(seeder: Seeder) -> str:
    """Return the address that stage 0 is served at, on the loopback interface."""
    port = seeder.stage0_url().rpartition(":")[2]
    seeder.wait_for_line("machines boot it")
    return f"127.0.0.1:{port}"


def named_in(text: str) -> tuple[set[str], set[str]]:
    """Return the servers that a script has the kernel ask and the addresses that it loads from."""
    return set(re.findall(r"swarmboot\.server=(\S+)", text)), set(re.findall(r"http://([^/\s]+)/k/", text))


def test_scripts_name_the_address_that_the_machine_asked_at(fleet: Fleet) -> None:
    with ExitStack() as stack:
        seeder = stack.enter_context(serving(fleet, "--pxe-listen", "127.0.0.1:0", "--name", "boot.example"))
        stage0 = stack.enter_context(forwarded(stage0_address(seeder)))
        port = seeder.address.rpartition(":")[2]
        assert named_in(script(f"http://{stage0}")) == ({f"https://127.0.0.1:{port}"}, {stage0})
        told = named_in(script(f"http://{stage0}", Host="boot.example:8080"))
        assert told == ({f"https://boot.example:{port}"}, {"boot.example:8080"})
        told = named_in(script(f"http://{stage0}", Host="other.example:8080"))
        assert told == ({f"https://127.0.0.1:{port}"}, {"other.example:8080"}), "a name that TLS would refuse"
        hint = "at other.example, which the certificate is not for: start serve with --name other.example"
        seeder.wait_for_line(hint)


def test_scripts_name_the_server_that_an_option_names_and_its_certificate_is_for_it(fleet: Fleet) -> None:
    with serving(fleet, "--pxe-listen", "127.0.0.1:0", "--server", "https://boot.example:443") as seeder:
        servers, _ = named_in(script(f"http://{stage0_address(seeder)}"))
        assert servers == {"https://boot.example:443"}
        done = (fleet.folder / "state" / "server.pem").read_bytes()
    from cryptography import x509

    names = x509.load_pem_x509_certificate(done).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "boot.example" in names.get_values_for_type(x509.DNSName)


def test_a_server_on_a_socket_for_both_families_names_ipv4_addresses_as_such(
    fleet: Fleet, release: Path, tmp_path: Path
) -> None:
    racks = tmp_path / "racks"
    racks.write_text("127.0.0.0/8 r12\n")
    with ExitStack() as stack:
        listens = ["--listen", "[::]:0", "--pxe-listen", "[::]:0", "--racks", str(racks), "--uplink", "40mbit"]
        seeder = stack.enter_context(serving(fleet, *listens))
        port = seeder.address.rpartition(":")[2]
        server, stage0 = f"https://127.0.0.1:{port}", stage0_address(seeder)
        text = script(f"http://{stage0}")
        assert named_in(text) == ({server}, {stage0})
        assert "swarmboot.rack=r12" in text
        seeder.address = server
        sent_bytes = boot_rack(fleet, seeder, tmp_path, server, 2)
        assert not any("::ffff:" in line for line in seeder.lines)
    assert sent_bytes < 1.5 * IMAGE_BYTES
