"""A datagram of a console becomes a printable line, whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.node_log.message import LINE_MAX, Line, parse_netconsole, parse_syslog


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            b"<6>ipxe: net0: 52:54:00:12:34:56 using virtio-net",
            Line("ipxe: net0: 52:54:00:12:34:56 using virtio-net", 6),
        ),
        (b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed", Line("su: 'su root' failed", 2)),
        (
            b'<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 [a@32473 b="c"] \xef\xbb\xbfdone',
            Line("evntslog: done", 5),
        ),
        (b"<13>1 - - - - - - said", Line("said", 5)),
        (b"no form at all", Line("no form at all", 6)),
        (b"<4>\x1b[2J\xe2\x80\xaeevil\n", Line("\\x1b[2J\\u202eevil", 4)),
    ],
)
def test_a_syslog_message_of_each_form_is_read(data: bytes, line: Line) -> None:
    assert parse_syslog(data) == line


def test_netconsole_is_read_in_both_of_its_forms() -> None:
    assert parse_netconsole(b"[    1.5] Kernel panic - not syncing: VFS\n") == (
        Line("[    1.5] Kernel panic - not syncing: VFS", 6),
    )
    assert parse_netconsole(b"4,1234,5678901,-;eth0: link down\n SUBSYSTEM=net\n") == (Line("eth0: link down", 4),)
    assert parse_netconsole(b"\n\n") == ()


@given(st.binary(max_size=3000))
def test_any_datagram_is_a_bounded_printable_line(data: bytes) -> None:
    for line in (parse_syslog(data), *parse_netconsole(data)):
        assert line.text.isprintable()
        assert len(line.text) <= LINE_MAX
        assert 0 <= line.severity <= 7
