"""In what order the files of a runtime image lie."""

from __future__ import annotations

from seeder.hook.finished_tree import sort_lines


def test_what_is_read_lies_first_and_each_file_has_a_priority_of_its_own() -> None:
    read = ["/usr/lib/b.pyc", "/usr/lib/c.pyc", "/usr/lib/b.pyc", "/usr/lib/a.pyc"]
    lines = sort_lines(read, ["usr/lib/a.pyc", "usr/lib/b.pyc", "usr/lib/c.pyc", "usr/lib/never.pyc"])
    assert lines == b"usr/lib/b.pyc 32767\nusr/lib/c.pyc 32766\nusr/lib/a.pyc 32765\n"


def test_byte_code_and_libraries_lie_apart_because_they_compress_better_so() -> None:
    read = ["/python3", "/b.pyc", "/b.so", "/a.pyc", "/a.so"]
    lines = sort_lines(read, ["a.so", "b.so", "a.pyc", "b.pyc", "python3"])
    assert [line.split()[0] for line in lines.splitlines()] == [b"b.pyc", b"a.pyc", b"python3", b"b.so", b"a.so"]


def test_what_is_not_in_the_tree_takes_no_priority() -> None:
    read = ["/tmp/x1y2z3", "/proc/12/maps", "/usr/lib/a.pyc"]
    assert sort_lines(read, ["usr/lib/a.pyc"]) == b"usr/lib/a.pyc 32767\n"
