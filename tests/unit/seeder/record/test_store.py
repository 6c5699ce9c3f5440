"""The history on disk: bounded, written by one thread, and never in anybody's way."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from seeder.record.policy.boot import Boot
from seeder.record.store import FILE_NAME, Bounds, Store, find_past, put_aside, read_current, read_history
from seeder.record.writer import CALM_S, QUEUE_MAX, Writer
from tests.support.record import HOST, MAC

KEPT = Bounds(age_s=1e12)


def build_boots(count: int, *, size: int = 0) -> dict[str, Boot | None]:
    return {
        f"{number:06}": Boot(
            id=f"{number:06}",
            began_s=float(number),
            heard_s=float(number),
            mac=MAC,
            addresses=(HOST,),
            stage0="x" * size,
        )
        for number in range(count)
    }


def test_what_was_written_is_read_the_latest_first(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.write(build_boots(3), frozenset({"000001"}))
        assert [boot.id for boot in read_current(tmp_path, most=10)] == ["000001"]
        assert [boot.id for boot in read_history(tmp_path, most=2)] == ["000002", "000001"]
        assert [boot.id for boot in read_history(tmp_path, machine=MAC, most=9)] == ["000002", "000001", "000000"]
        found = find_past(tmp_path, HOST)
        assert found is not None
        assert found.id == "000002"
        store.write({"000002": None}, frozenset())
        assert len(read_history(tmp_path, most=9)) == 2


def test_the_history_is_bounded_in_age_and_in_rows(tmp_path: Path) -> None:
    with closing(Store(tmp_path, Bounds(age_s=50.0, rows=20))) as store:
        store.write(build_boots(100), frozenset())
        assert store.prune(100.0) == 80
        assert read_history(tmp_path, most=999)[-1].id == "000080"


def test_the_history_is_bounded_in_bytes_and_the_file_shrinks(tmp_path: Path) -> None:
    bounds = Bounds(age_s=1e9, size_bytes=400_000)
    with closing(Store(tmp_path, bounds)) as store:
        store.write(build_boots(2000, size=800), frozenset())
        store.prune(0.0)
        assert (tmp_path / FILE_NAME).stat().st_size <= bounds.size_bytes
        assert read_history(tmp_path, most=1)[0].id == "001999"


def test_there_is_no_history_where_there_is_no_file(tmp_path: Path) -> None:
    assert read_history(tmp_path, most=9) == []
    assert find_past(tmp_path, MAC) is None


def test_a_row_that_is_no_boot_is_passed_over(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.write(build_boots(2), frozenset())
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.execute("UPDATE boots SET story = '[1]' WHERE id = '000000'")
    assert [boot.id for boot in read_history(tmp_path, most=9)] == ["000001"]


def test_a_broken_file_is_put_aside_and_another_is_begun(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    told: list[str] = []
    writer = Writer(tmp_path, KEPT, tell=told.append, clock=count(0.0, CALM_S).__next__)
    writer.write(build_boots(3), frozenset())
    writer.write(build_boots(2), frozenset())
    writer.close()
    assert len(read_history(tmp_path, most=9)) == 2
    assert writer.lost == 3
    assert [path.read_bytes()[:11] for path in tmp_path.glob("*.broken-*")] == [b"no database"]
    assert ["cannot be written" in told[0], "put aside" in told[1], "again" in told[2]] == [True, True, True]
    assert writer.take_recovered()
    assert not writer.take_recovered()


def test_the_file_of_a_later_build_is_left_alone(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.write(build_boots(3), frozenset())
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.execute("PRAGMA user_version = 99")
    writer = Writer(tmp_path, KEPT, tell=lambda _line: None)
    writer.write(build_boots(9), frozenset())
    writer.close()
    assert writer.lost == 9
    assert len(read_history(tmp_path, most=99)) == 3


def test_who_writes_never_waits_for_the_disk(tmp_path: Path) -> None:
    told: list[str] = []
    writer = Writer(tmp_path, KEPT, tell=told.append)
    writer.write(build_boots(1), frozenset())
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as database:
        while not database.execute("SELECT name FROM sqlite_master WHERE name = 'boots'").fetchall():
            threading.Event().wait(0.01)
        database.execute("BEGIN EXCLUSIVE")
        for _ in range(QUEUE_MAX + 5):
            writer.write(build_boots(1), frozenset())
        assert writer.lost >= 4
        database.execute("ROLLBACK")
    writer.close()
    assert len([line for line in told if "cannot be written" in line]) == 1


def test_broken_files_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / FILE_NAME).write_bytes(b"%d" % number)
        assert put_aside(tmp_path, 1000.0 + number) is not None
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("ends", ["-wal", "-shm"])
def test_nothing_of_a_broken_file_is_mixed_with_the_next(tmp_path: Path, ends: str) -> None:
    (tmp_path / f"{FILE_NAME}{ends}").write_bytes(b"old")
    (tmp_path / FILE_NAME).write_bytes(b"old")
    put_aside(tmp_path, 0.0)
    assert not (tmp_path / f"{FILE_NAME}{ends}").exists()
