"""Rates, sizes and durations, as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.errors import MalformedSettingError
from swarmboot.text.units import format_duration, format_rate, format_size, parse_duration, parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "rate_bytes_per_s"),
    [("100mbit", 12.5e6), ("1gbit", 125e6), ("12.5MB/s", 12.5e6), ("1MiB/s", 2.0**20), ("800 bit", 100.0)],
)
def test_a_rate_is_read(text: str, rate_bytes_per_s: float) -> None:
    assert parse_rate(text) == rate_bytes_per_s


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("4096", 4096), ("64MiB", 64 << 20), ("64M", 64 << 20), ("130MB", 130_000_000), ("1.5 KiB", 1536), ("0", 0)],
)
def test_a_size_is_read(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "duration_s"), [("30s", 30), ("500ms", 0.5), ("2min", 120), ("2m", 120), ("1.5", 1.5), ("365d", 31536000)]
)
def test_a_duration_is_read(text: str, duration_s: float) -> None:
    assert parse_duration(text) == duration_s


@pytest.mark.parametrize("parse", [parse_rate, parse_size, parse_duration])
@pytest.mark.parametrize("text", ["", "x", "-1", "1e9", "1,5", "1 2", "1furlong", "nan", "inf", "1" * 400, "٣"])
def test_what_is_none_is_refused_with_an_example(parse: Callable[[str], float], text: str) -> None:
    with pytest.raises(MalformedSettingError, match="as in"):
        parse(text)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(MalformedSettingError, match="more than zero"):
        parse_rate("0mbit")


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (64 << 20, "64.0 MiB"), (3 << 40, "3.0 TiB")],
)
def test_a_size_is_written(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(("rate", "text"), [(12.5e6, "100mbit"), (125e6, "1gbit"), (125, "1kbit"), (1, "8bit")])
def test_a_rate_is_written_as_tc_writes_it(rate: float, text: str) -> None:
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("duration_s", "text"), [(0.42, "0.42 s"), (41, "41.0 s"), (560, "9 min 20 s"), (7200, "2 h 0 min")]
)
def test_a_duration_is_written(duration_s: float, text: str) -> None:
    assert format_duration(duration_s) == text


@given(st.floats(1, 1e11))
def test_a_rate_written_is_read_back_nearly(rate_bytes_per_s: float) -> None:
    assert parse_rate(format_rate(rate_bytes_per_s)) == pytest.approx(rate_bytes_per_s, rel=1e-3)
