"""nginx in front of a site, on a free port of 127.0.0.1: a mirror as operators have one. It ends with its block."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_USER = "user root;" if os.geteuid() == 0 else ""


@contextmanager
def nginx(folder: Path, site: Path) -> Iterator[str]:
    """Serve a site with nginx over plain HTTP; yield its address. Its log of requests is `folder`/access.log."""
    with running_nginx(folder, site) as (_, port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running_nginx(
    folder: Path, site: Path, *, tls: str = "", log: bool = True, launcher: Sequence[str] = ()
) -> Iterator[tuple[int, int]]:
    """Serve a site with nginx; yield its process and its port. `tls` is a server block's lines for HTTPS."""
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port = trial.getsockname()[1]
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in _TEMPORARY)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"{_USER} daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}"
        f"http {{ access_log {folder / 'access.log' if log else 'off'}; {temporary}"
        f"server {{ listen 127.0.0.1:{port}{' ssl' if tls else ''}; {tls} root {site}; }} }}"
    )
    command = [*launcher, "nginx", "-e", str(folder / "error.log"), "-c", str(configuration)]
    process = subprocess.Popen(command, text=True)
    try:
        wait_until("an answer of nginx", lambda: _answers(port), process=process)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(timeout=20)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
