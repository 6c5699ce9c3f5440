"""Long work shows itself: a bar on a terminal, plain lines elsewhere, nothing beside JSON."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from swarmboot.release import key_files
from tests.support.builders import build_release
from tests.support.commands import run


def publish_on_a_terminal(words: list[str]) -> str:
    """Return what the program writes to standard error when that is a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while chunk := read_terminal(ours):
            shown += chunk
        os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux reports the end of a terminal as an input/output error
        return b""


def test_a_terminal_gets_a_bar_and_a_pipe_gets_plain_lines(tmp_path: Path) -> None:
    private, _ = key_files.write_pair(tmp_path / "keys")
    release = build_release(tmp_path / "release", size_bytes=8 << 20)
    options = [str(release), "--site", str(tmp_path / "site"), "--key", str(private)]
    shown = publish_on_a_terminal([sys.executable, "-m", "swarmboot", "publish", "--force", *options])
    assert "━" in shown
    assert "8.4/8.4 MB" in shown or "8.0/8.0 MiB" in shown
    piped = run("publish", "--force", *options)
    assert piped.err == "hashed rootfs.squashfs (8.0 MiB)\n"
    assert run("publish", "--force", *options, "--json").err == ""
