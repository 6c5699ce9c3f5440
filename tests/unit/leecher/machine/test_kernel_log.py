"""The kernel's log is read as Documentation/ABI/testing/dev-kmsg describes it, whatever comes, and never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leecher.machine.kernel_log import KernelLog, Record, open_kernel_log, parse_records, write_line

EXAMPLES = b"""\
7,160,424069,-;pci_root PNP0A03:00: host bridge window [io  0x0000-0x0cf7] (ignored)
 SUBSYSTEM=acpi
 DEVICE=+acpi:PNP0A03:00
6,339,5140900,-;NET: Registered protocol family 10
30,340,5690716,-;udevd[80]: starting version 181
"""
"""Those of the kernel's own description."""


def test_the_kernels_own_examples_are_read() -> None:
    assert parse_records(EXAMPLES) == [
        Record(160, 0.424069, 0, 7, "pci_root PNP0A03:00: host bridge window [io  0x0000-0x0cf7] (ignored)"),
        Record(339, 5.1409, 0, 6, "NET: Registered protocol family 10"),
        Record(340, 5.690716, 3, 6, "udevd[80]: starting version 181"),
    ]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"4,5,6,c,caller=T1,more=2;part of a line", "part of a line"),
        (b"4,5,6;without flags", "without flags"),
        (b"4,5,6,-;", ""),
        (b"4,5,6,-;a;b,c", "a;b,c"),
        (rb"4,5,6,-;bell \x07 and \x5c", r"bell \x07 and \x5c"),
    ],
)
def test_fields_that_are_not_known_are_passed_over(line: bytes, text: str) -> None:
    assert [each.text for each in parse_records(line + b"\n")] == [text]


@given(st.binary(max_size=2000))
def test_what_is_no_record_is_none_and_ends_nothing(data: bytes) -> None:
    for each in parse_records(data):
        assert 0 <= each.severity <= 7


def filled(tmp_path: Path, *numbers: int) -> Path:
    path = tmp_path / "kmsg"
    path.write_bytes(b"".join(b"6,%d,%d,-;line %d\n" % (number, number, number) for number in numbers))
    return path


def test_lines_that_were_overwritten_are_counted_and_those_of_before_are_not_told_again(tmp_path: Path) -> None:
    log = open_kernel_log(filled(tmp_path, 7, 8, 9, 12), after=7)
    assert log is not None
    assert [each.number for each in log.read(100)] == [8, 9, 12]
    assert (log.lost, log.last) == (2, 12)
    log.close()
    assert log.read(100) == []


def test_a_line_that_is_not_whole_yet_is_read_when_it_is() -> None:
    reading, writing = os.pipe()
    log = KernelLog(reading)
    os.write(writing, b"6,0,1,-;fir")
    assert log.read(10) == []
    os.write(writing, b"st\n6,1,2,-;second\n")
    assert [each.text for each in log.read(10)] == ["first", "second"]
    assert log.read(10) == []  # without waiting
    os.close(writing)
    log.close()


def test_a_log_that_may_not_be_read_is_none(tmp_path: Path) -> None:
    assert open_kernel_log(tmp_path / "none") is None


def test_a_line_is_written_on_a_level_that_consoles_do_not_show(tmp_path: Path) -> None:
    (tmp_path / "kmsg").touch()
    write_line(tmp_path / "kmsg", "swarmboot: half a line \ud800")
    assert (tmp_path / "kmsg").read_bytes() == b"<7>swarmboot: half a line ?\n"
    write_line(tmp_path / "none", "nobody reads it")


def test_a_log_that_is_closed_again_closes_nothing_of_others(tmp_path: Path) -> None:
    log = open_kernel_log(filled(tmp_path, 1))
    assert log is not None
    log.close()
    with (tmp_path / "other").open("wb") as other:  # it is given the number that was the log's
        log.close()
        other.write(b"x")
