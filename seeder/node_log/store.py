"""The lines of nodes on disk: a file a boot, bounded each and together, the oldest boot's given up first.

A line is `TIME SOURCE SEVERITY TEXT`. A file that is full goes on in a second one, so that the last lines of a boot,
which say why it ended, are always there. A full disk costs lines, not service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from seeder.node_log.message import SEVERITIES, Line

NODE_LOG = "nodelog"
"""The folder in a seeder's state folder."""

FILE_MAX_BYTES = 256 << 10
FILES_MAX = 512
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")


def name_of(key: str) -> str:
    """Return the name of a file for a boot's id or an address."""
    name = re.sub(r"[^A-Za-z0-9-]", "_", key)[:80]
    assert _NAME.match(name)
    return name


def written(line: Line, *, source: str, now_unix_s: float) -> str:
    """Return a line as it is kept and shown."""
    when = datetime.fromtimestamp(now_unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{when} {source} {SEVERITIES[line.severity]} {line.text}"


class Store:
    """The files below one folder, which is made when there is something to write."""

    def __init__(self, folder: Path, *, file_bytes: int = FILE_MAX_BYTES, files: int = FILES_MAX) -> None:
        self._folder, self._file_bytes, self._files = folder, file_bytes, files

    def append(self, key: str, lines: Iterable[str]) -> None:
        """Add lines to a boot's file; raise OSError if they cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{name_of(key)}.log"
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        if path.exists() and path.stat().st_size + len(data) > self._file_bytes:
            path.replace(path.with_suffix(".old"))
        is_new = not path.exists()
        with path.open("ab") as file:
            file.write(data)
        if is_new:
            self._give_up_oldest()

    def _give_up_oldest(self) -> None:
        found = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in found[: max(0, len(found) - 2 * self._files)]:
            with suppress(OSError):
                path.unlink()

    def read(self, key: str) -> list[str]:
        """Return the lines that are kept of a boot, the oldest first; none if there are none."""
        lines: list[str] = []
        for suffix in (".old", ".log"):
            with suppress(OSError):
                text = (self._folder / f"{name_of(key)}{suffix}").read_text("utf-8", "replace")
                lines += text.splitlines()
        return lines


def lines_of(store: Store, keys: Iterable[str]) -> list[str]:
    """Return the lines of several files in the order of their times, each once."""
    return sorted({line for key in dict.fromkeys(keys) if key for line in store.read(key)})
