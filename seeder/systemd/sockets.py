"""The listening sockets that systemd hands over (sd_listen_fds(3)): it holds them while the service starts anew.

Says nothing of what they listen on: who takes them looks.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

_FIRST = 3
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


def handed_over(environ: MutableMapping[str, str] = os.environ, *, pid: int | None = None) -> tuple[socket.socket, ...]:
    """Return the sockets that were handed to this process, once; programs that it starts will not have them.

    None where nobody has handed any over. Raises OSError if what stands there is no socket.
    """
    count, meant = environ.get("LISTEN_FDS", ""), environ.get("LISTEN_PID", "")
    for name in _VARIABLES:
        environ.pop(name, None)
    if meant != str(os.getpid() if pid is None else pid) or not count.isdigit():
        return ()
    numbers = range(_FIRST, _FIRST + int(count))
    for number in numbers:
        os.set_inheritable(number, False)
    return tuple(socket.socket(fileno=number) for number in numbers)
