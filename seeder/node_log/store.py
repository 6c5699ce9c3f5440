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
FILES_MAX = 4096
TOTAL_MAX_BYTES = 512 << 20
_STAMP = re.compile(r"\A\[ *[0-9]+\.[0-9]+\] ")
"""What the kernel puts before a line on a console (printk.time)."""
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

    def __init__(
        self,
        folder: Path,
        *,
        file_bytes: int = FILE_MAX_BYTES,
        files: int = FILES_MAX,
        total_bytes: int = TOTAL_MAX_BYTES,
    ) -> None:
        self._folder, self._file_bytes, self._files, self._total_bytes = folder, file_bytes, files, total_bytes
        self._new_files, self._new_bytes = files, 0  # those from before are not counted yet

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
        self._new_files += is_new
        self._new_bytes += len(data)
        self._give_up_oldest()

    def _give_up_oldest(self) -> None:
        """Keep to the bounds: looked at when an eighth of them is new, as all files have to be."""
        if self._new_files <= self._files // 8 and self._new_bytes <= self._total_bytes // 8:
            return
        self._new_files = self._new_bytes = 0
        found = sorted(((path, path.stat()) for path in self._folder.iterdir()), key=lambda each: -each[1].st_mtime)
        total_bytes = 0
        for number, (path, status) in enumerate(found, 1):
            total_bytes += status.st_size
            if number > 2 * self._files or total_bytes > self._total_bytes:
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
    """Return the lines of several files in the order of their times, each once; of one time as they came.

    What a node has handed in and netconsole has brought as well is left out of the latter.
    """
    found = dict.fromkeys(line for key in dict.fromkeys(keys) if key for line in store.read(key))
    lines = sorted(found, key=lambda line: line.partition(" ")[0])
    parts = [line.split(" ", 3) for line in lines]
    handed_in = {each[3] for each in parts if len(each) == 4 and each[1] == "kernel"}
    return [
        line
        for line, each in zip(lines, parts, strict=True)
        if len(each) < 4 or each[1] != "netconsole" or _STAMP.sub("", each[3]) not in handed_in
    ]
