"""What mksquashfs is told to pack first."""

from __future__ import annotations

from seeder.squashfs.sort_file import sort_lines


def test_each_file_has_a_number_of_its_own_because_equals_are_turned_around() -> None:
    assert sort_lines([b"usr/bin/b", b"a", b"c"]) == (b"usr/bin/b 32767\na 32766\nc 32765\n", [])


def test_blanks_backslashes_and_what_would_begin_a_comment_are_escaped() -> None:
    text, missing = sort_lines([b"a b", b"c\td", b"e\\f", b"#g", " ä".encode()])
    assert text.split(b"\n")[:5] == [
        b"a\\ b 32767", b"c\\\td 32766", b"e\\\\f 32765", b"\\#g 32764", "\\ ä 32763".encode(),
    ]  # fmt: skip
    assert missing == []


def test_names_that_no_line_can_hold_are_told() -> None:
    assert sort_lines([b"a\nb", b"d/*", b"*", b"x" * 9000, b"ok"]) == (
        b"ok 32767\n",
        [b"a\nb", b"d/*", b"*", b"x" * 9000],
    )


def test_more_files_than_numbers_share_them_with_their_neighbours_and_stay_above_what_has_none() -> None:
    lines = sort_lines([b"%d" % number for number in range(70_000)])[0].splitlines()
    numbers = [int(line.split()[1]) for line in lines]
    assert len(lines) == 70_000
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] == 32767
    assert numbers[-1] > 0
    assert max(numbers.count(number) for number in (numbers[0], numbers[-1], 20_000)) == 3
