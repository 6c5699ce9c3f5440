#!/bin/sh
# Python's sqlite3, PRAGMA incremental_vacuum: giving the pages of deleted rows back to the file system.
#
# One would expect: with auto_vacuum = INCREMENTAL, `connection.execute("PRAGMA incremental_vacuum").fetchall()` frees all
# free pages, as the same statement does in the sqlite3 shell ("if N is omitted the entire freelist is cleared",
# sqlite.org/pragma.html).
# What happens: it frees one page. SQLite frees a page a step of the statement, and Python steps a statement that has no
# columns once. `connection.executescript` steps to the end and frees all. No error either way.
# Whom it hurts: whoever bounds a database's size by deleting rows: the file never shrinks.
# Needs python3 with its sqlite3 module, as Debian's libpython3-stdlib has it; takes a second.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 - <<'END'
import sqlite3, sys

database = sqlite3.connect("trial", isolation_level=None)
database.execute("PRAGMA auto_vacuum = INCREMENTAL")
database.execute("CREATE TABLE rows (text)")
database.executemany("INSERT INTO rows VALUES (?)", [("x" * 3000,)] * 100)
database.execute("DELETE FROM rows")


def free():
    return database.execute("PRAGMA freelist_count").fetchone()[0]


before = free()
database.execute("PRAGMA incremental_vacuum").fetchall()
once = free()
database.executescript("PRAGMA incremental_vacuum")
script = free()
versions = f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
print(f"{versions}: of {before} free pages {once} are left after execute, {script} after executescript")
if (before - once, script) != (1, 0):
    sys.exit("the behaviour has changed")
END
