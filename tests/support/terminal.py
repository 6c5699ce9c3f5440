"""A terminal of a given size in which a command runs, and what it then shows, as HTML to take a picture of."""

from __future__ import annotations

import base64
import html
import os
import pty
import re
import subprocess
import termios
from collections.abc import Sequence

_STYLE = (
    "body{margin:0;background:#16181d}pre{margin:0;padding:14px 16px;display:inline-block;color:#d8dee9;"
    "font:14px/1.35 'DejaVu Sans Mono',monospace;background:#16181d}b{color:#fff}i{color:#8fbcbb;font-style:normal}"
)
_BOLD, _PLAIN, _OTHER = "\033[1m", "\033[0m", re.compile(r"\033\[[0-9;?]*[A-Za-z]")


def shown(command: Sequence[str], *, columns: int = 80, lines: int = 40) -> str:
    """Return what a command writes to a terminal of this size, its control sequences among it."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (lines, columns))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, env={**environment, "TERM": "xterm"}, start_new_session=True
    )
    os.close(its)
    said = b""
    try:
        while chunk := os.read(ours, 65536):
            said += chunk
    except OSError:  # the other side has closed (pty(7))
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == 0, said
    return said.decode().replace("\r\n", "\n")


def as_page(typed: str, said: str) -> str:
    """Return the address of a page that shows a command as it was typed and what it said."""
    body = html.escape(said).replace(_BOLD, "<b>").replace(_PLAIN, "</b>")
    page = (
        f"<meta charset=utf-8><style>{_STYLE}</style><pre><i>$ {html.escape(typed)}</i>\n{_OTHER.sub('', body)}</pre>"
    )
    return "data:text/html;base64," + base64.b64encode(page.encode()).decode()
