"""The history on disk: one row a boot in SQLite, bounded in age, rows and bytes. One thread writes, others may read.

WAL (sqlite.org/wal.html) lets them do both at once; a process that is killed loses the last second and breaks nothing.
A file that is broken is put aside, by a name that says so, and another is begun.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from seeder.record.policy.boot import Boot, from_values, to_values

FILE_NAME = "history.sqlite"
_ASIDE_MAX = 3
_BUSY_S = 2.0
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS boots (
    id TEXT PRIMARY KEY, machine TEXT NOT NULL, began_s REAL NOT NULL, heard_s REAL NOT NULL,
    is_current INTEGER NOT NULL, story TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS boots_by_heard ON boots (heard_s);
CREATE INDEX IF NOT EXISTS boots_by_machine ON boots (machine, began_s);
"""
_PUT = "INSERT OR REPLACE INTO boots VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much history is kept: boots heard within `age_s`, at most so many rows, and a file of so many bytes."""

    age_s: float = 90 * 86_400.0
    rows: int = 200_000
    size_bytes: int = 512 << 20


class Store:
    """One open database, for the thread that made it. Raises sqlite3.Error and OSError as they come."""

    def __init__(self, folder: Path, bounds: Bounds = Bounds()) -> None:
        self.path = folder / FILE_NAME
        self.bounds = bounds
        self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        if not self.path.exists():
            self.path.touch(mode=0o600)
        with ExitStack() as on_failure:
            database = on_failure.enter_context(
                closing(sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None))
            )
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version > _SCHEMA_VERSION:
                raise sqlite3.OperationalError(f"it is of a later build, version {version}")
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA journal_size_limit = 4194304")
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            on_failure.pop_all()
        return database

    def close(self) -> None:
        """Close the database."""
        with suppress(sqlite3.Error):
            self._database.close()

    def write(self, changed: Mapping[str, Boot | None], current: frozenset[str]) -> None:
        """Write boots in one transaction; None takes a row out."""
        rows = [_row(boot, is_current=boot.id in current) for boot in changed.values() if boot is not None]
        gone = [(id_,) for id_, boot in changed.items() if boot is None]
        with self._database:  # commits what is begun, or takes it back
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(_PUT, rows)
            self._database.executemany("DELETE FROM boots WHERE id = ?", gone)

    def prune(self, now_s: float) -> int:
        """Delete what is too old or too much, the longest unheard first; return how many rows that were."""
        bounds, database = self.bounds, self._database
        count = database.execute("DELETE FROM boots WHERE heard_s < ?", (now_s - bounds.age_s,)).rowcount
        (rows,) = database.execute("SELECT count(*) FROM boots").fetchone()
        (page_bytes,), (pages,), (free,) = (
            database.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count", "freelist_count")
        )
        used_bytes = page_bytes * (pages - free)
        excess = max(0, rows - bounds.rows)
        if used_bytes > bounds.size_bytes and rows:
            excess = max(excess, -(-rows * (used_bytes - bounds.size_bytes * 9 // 10) // used_bytes))
        if excess:
            oldest = "SELECT id FROM boots ORDER BY heard_s LIMIT ?"
            count += database.execute(f"DELETE FROM boots WHERE id IN ({oldest})", (excess,)).rowcount  # noqa: S608
        if count:
            database.executescript("PRAGMA incremental_vacuum")  # execute() would free one page of them
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return count


def _row(boot: Boot, *, is_current: bool) -> tuple[str, str, float, float, int, str]:
    text = json.dumps(to_values(boot), separators=(",", ":"), ensure_ascii=False)
    return boot.id, boot.machine, boot.began_s, boot.heard_s, int(is_current), text


def put_aside(folder: Path, now_s: float) -> Path | None:
    """Rename a database that cannot be used; return its new name, None if there was nothing to rename.

    Only so many are kept: a disk that breaks every file must not fill up with them.
    """
    path = folder / FILE_NAME
    for each in sorted(folder.glob(f"{FILE_NAME}.broken-*"))[: -(_ASIDE_MAX - 1)]:
        each.unlink(missing_ok=True)
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    if not path.exists():
        return None
    aside = folder / f"{FILE_NAME}.broken-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now_s))}"
    path.replace(aside)
    return aside


def read_current(folder: Path, *, most: int) -> list[Boot]:
    """Return the boots that were current when they were last written; the latest ones."""
    return _read(folder, "SELECT story FROM boots WHERE is_current ORDER BY heard_s DESC LIMIT ?", most)


def read_history(folder: Path, *, machine: str = "", most: int) -> list[Boot]:
    """Return the latest boots, of one machine if one is named, the latest first."""
    if machine:
        order = "SELECT story FROM boots WHERE machine = ? ORDER BY began_s DESC LIMIT ?"
        return _read(folder, order, machine, most)
    return _read(folder, "SELECT story FROM boots ORDER BY heard_s DESC LIMIT ?", most)


def _read(folder: Path, order: str, *values: object) -> list[Boot]:
    """Return boots from the file as it is, without writing to it; none if there is no file.

    Raises sqlite3.Error if it cannot be read.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as database:
        return list(_boots(text for (text,) in database.execute(order, values)))


def _boots(texts: Iterable[str]) -> Iterator[Boot]:
    """Yield the boots in rows; a row that is none, whatever made it so, is passed over."""
    for text in texts:
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            yield from_values(json.loads(text))


def find_past(folder: Path, key: str) -> Boot | None:
    """Return the latest boot of a MAC address, an address, a host's name, or the beginning of an id; or None."""
    order = (
        "SELECT story FROM boots WHERE machine = ?1 OR id = ?1 OR json_extract(story, '$.name') = ?1 "
        "OR json_extract(story, '$.addresses[0]') = ?1 OR (length(?1) >= 6 AND (substr(id, 1, length(?1)) = ?1 "
        "OR substr(json_extract(story, '$.boot'), 1, length(?1)) = ?1)) ORDER BY heard_s DESC LIMIT 1"
    )
    found = _read(folder, order, key) if key else []
    return found[0] if found else None
