"""Who has a port, on this machine as it is."""

from __future__ import annotations

import subprocess
import sys

from seeder.doctor import machine
from seeder.doctor.checks import Port


def test_an_address_of_another_machine_is_told_from_a_port_that_is_taken() -> None:
    port = machine.with_holder(Port("tcp", 9, "HTTPS"), "192.0.2.9")
    assert (port.holder, bool(port.reason)) == ("", True)


def test_a_port_that_a_child_of_serve_has_is_swarmboots_own() -> None:
    listening = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    child = f"{listening}; sys.stdin.read()"
    parent = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[-1]]))"
    command = (sys.executable, "-c", parent, "swarmboot", child)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        number = int(running.stdout.readline())
        assert "swarmboot" in machine.with_holder(Port("tcp", number, "HTTPS"), "127.0.0.1").holder
        running.communicate()
