"""Listening sockets."""

from __future__ import annotations

import errno
import socket

from seeder.http import hypercorn_connection
from swarmboot.errors import PortInUseError
from swarmboot.text.addresses import is_ipv6


def listen(
    host: str, port: int, *, option: str = "--listen", kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    """Return a listening TCP socket, or one for datagrams if that is the `kind`.

    Raises PortInUseError, which names `option`, if the address is taken, is not this machine's or is not for this user.
    """
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    opened = socket.socket(family, kind)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
        if kind == socket.SOCK_STREAM:
            opened.listen(hypercorn_connection.BACKLOG)
    except OSError as error:
        opened.close()
        taken = "it is taken" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        privilege = ", or run as root: ports below 1024 are root's" if error.errno == errno.EACCES else ""
        raise PortInUseError(
            f"cannot listen on {host} port {port}",
            expected="a free port of an address of this machine",
            found=taken,
            hint=f"choose another with {option} ADDR:PORT{privilege}",
        ) from error
    return opened
