"""What a line of the seeder's log may hold, and how many of them others may cause."""

from __future__ import annotations

import json
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.log import LINE_MAX, OUTSIDE_LINE_MAX, Format, Level, Log, LogLimits, Quota, plain


def written(log: Log, lines: list[bytes]) -> list[str]:
    log.close()
    return b"".join(lines).decode().splitlines()


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_a_line_is_one_printable_line_whatever_is_in_it(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown) <= LINE_MAX
    assert len(shown.encode()) <= 4 * LINE_MAX


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\ud800", r"\ud800"),
        ("\x9b31m", r"\x9b31m"),
        ("\u2028", r"\u2028"),
        ("Zürich", "Zürich"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_source_may_cause_so_many_lines_and_the_rest_are_counted() -> None:
    now_s = 0.0
    lines: list[bytes] = []
    log = Log(write=lines.append, clock=lambda: now_s, limits=LogLimits(burst=3, lines_per_s=1))
    for number in range(10):
        log.tell(f"report {number}", source="10.0.0.66")
    log.tell("report of another", source="10.0.0.7")
    log.tell("our own line")
    now_s = 61.0
    log.tell_left_out()
    log.tell_left_out()
    assert written(log, lines) == [
        "report 0",
        "report 1",
        "report 2",
        "report of another",
        "our own line",
        "left out of this log: 7 lines that others caused, 7 of them 10.0.0.66",
    ]


def test_many_sources_together_are_bounded_and_so_is_what_is_known_of_them() -> None:
    quota = Quota(LogLimits(burst=2, all_burst=50, all_lines_per_s=1, sources_most=100))
    admitted = sum(quota.admits(f"10.{number >> 8}.{number & 255}.1", 0.0) for number in range(10_000))
    assert admitted == 50
    assert len(quota.left_out) <= 101
    assert quota.left_out.total() == 10_000 - admitted


def test_a_line_that_another_caused_is_cut() -> None:
    lines: list[bytes] = []
    log = Log(write=lines.append)
    log.tell("x" * 100_000, source="10.0.0.66")
    (line,) = written(log, lines)
    assert len(line) == OUTSIDE_LINE_MAX


def test_lines_that_cannot_be_written_are_counted_and_told_when_they_can() -> None:
    lines: list[bytes] = []
    failures = [OSError("no space left"), OSError("no space left")]

    def write(data: bytes) -> None:
        if failures:
            raise failures.pop()
        lines.append(data)

    log = Log(write=write)
    for number in range(3):
        log.tell(f"line {number}")
    assert written(log, lines) == ["", "left out of this log: 2 lines that could not be written", "line 2"]


def test_a_reader_that_has_stopped_reading_is_not_waited_for() -> None:
    let_go = threading.Event()

    def write(_data: bytes) -> None:
        let_go.wait(20)

    log = Log(write=write)
    for number in range(20_000):
        log.tell(f"line {number}")
    let_go.set()
    log.close()


def test_a_reader_that_has_gone_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = Log(writing)
    log.tell("nobody reads this")
    log.close()
    os.close(writing)


def test_a_line_begins_with_its_time_and_level_and_is_one_json_object_if_asked_for() -> None:
    def told(form: Format) -> str:
        lines: list[bytes] = []
        log = Log(write=lines.append, form=form, wall=lambda: 1_790_000_000.25)
        log.tell('node "n7"\x1b[2J failed', level=Level.WARNING)
        (line,) = written(log, lines)
        return line

    assert told(Format.TEXT) == r'2026-09-21T14:13:20.250Z warning node "n7"\x1b[2J failed'
    assert json.loads(told(Format.JSON)) == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "warning",
        "message": r'node "n7"\x1b[2J failed',
    }
    assert told(Format.BARE) == r'node "n7"\x1b[2J failed'


def test_what_could_not_be_written_is_told_in_the_same_format() -> None:
    lines: list[bytes] = []
    is_full = [True]

    def write(data: bytes) -> None:
        if is_full.pop() if is_full else False:
            raise OSError(28, "No space left on device")
        lines.append(data)

    log = Log(write=write, form=Format.JSON)
    log.tell("lost")
    log.tell("written")
    messages = [json.loads(line)["message"] for line in written(log, lines) if line]
    assert messages == ["left out of this log: 1 lines that could not be written", "written"]
