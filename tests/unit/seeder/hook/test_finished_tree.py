"""In what order the files of a runtime image lie."""

from __future__ import annotations

from seeder.hook.finished_tree import sort_lines


def test_what_is_read_lies_first_and_each_file_has_a_priority_of_its_own() -> None:
    read = ["/usr/lib/b.pyc", "/usr/lib/c.pyc", "/usr/lib/b.pyc", "/usr/lib/a.pyc"]
    lines = sort_lines(read, ["usr/lib/a.pyc", "usr/lib/b.pyc", "usr/lib/c.pyc", "usr/lib/never.pyc"])
    assert lines == "usr/lib/b.pyc 32767\nusr/lib/c.pyc 32766\nusr/lib/a.pyc 32765\n"


def test_byte_code_and_libraries_lie_apart_because_they_compress_better_so() -> None:
    read = ["/python3", "/b.pyc", "/b.so", "/a.pyc", "/a.so"]
    lines = sort_lines(read, ["a.so", "b.so", "a.pyc", "b.pyc", "python3"])
    assert [line.split()[0] for line in lines.splitlines()] == ["b.pyc", "a.pyc", "python3", "b.so", "a.so"]


def test_what_is_not_in_the_tree_takes_no_priority() -> None:
    read = ["/tmp/x1y2z3", "/proc/12/maps", "/usr/lib/a.pyc"]
    assert sort_lines(read, ["usr/lib/a.pyc"]) == "usr/lib/a.pyc 32767\n"


def test_a_name_with_a_blank_has_no_line_because_mksquashfs_would_end_it_there() -> None:
    assert sort_lines(["/a b", "/c\td", "/e"], ["a b", "c\td", "e"]) == "e 32767\n"


def test_priorities_end_above_that_of_what_is_not_read() -> None:
    names = [f"f{number}" for number in range(32_770)]
    lines = sort_lines([f"/{name}" for name in names], names).splitlines()
    assert (lines[-1], len(lines)) == ("f32766 1", 32_767)
