"""A connection to a port of this machine's loopback, on standard input and output: `python relay.py PORT`.

What QEMU runs for each connection of a guest that may reach nothing else (qemu(1), guestfwd).
"""

from __future__ import annotations

import os
import socket
import sys
import threading

_CHUNK_BYTES = 1 << 16


def _pump(source: int, target: int) -> None:
    while data := os.read(source, _CHUNK_BYTES):
        while data:
            data = data[os.write(target, data) :]


def main() -> None:
    """Carry bytes both ways until the far end has no more."""
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:

        def up() -> None:
            try:
                _pump(0, connection.fileno())
                connection.shutdown(socket.SHUT_WR)
            except OSError:  # the far end is gone
                return

        threading.Thread(target=up, daemon=True).start()
        try:
            _pump(connection.fileno(), 1)
        except OSError:  # the guest is gone
            return


if __name__ == "__main__":
    main()
