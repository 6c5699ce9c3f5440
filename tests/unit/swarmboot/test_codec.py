"""The codec takes only what it would have written, and fails in one way."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swarmboot.codec import DecodeError, Fields, pack, unpack

MAX_BYTES = 1 << 16

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        | st.dictionaries(st.binary(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
).filter(lambda value: depth_of(value) < 8)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(values)
def test_what_was_packed_comes_back(value: object) -> None:
    assert unpack(pack(value), max_bytes=MAX_BYTES) == value


@given(st.dictionaries(st.text(max_size=8), st.integers(0, 9)), st.randoms())
def test_equal_maps_have_equal_bytes_in_whatever_order_they_were_filled(value: dict[str, int], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert pack(dict(items)) == pack(value)


@given(values, st.data())
def test_a_changed_byte_is_refused_or_gives_another_value(value: object, data: st.DataObject) -> None:
    packed = bytearray(pack(value))
    index = data.draw(st.integers(0, len(packed) - 1))
    packed[index] ^= data.draw(st.integers(1, 255))
    try:
        found = unpack(bytes(packed), max_bytes=MAX_BYTES)
    except DecodeError:
        return
    assert pack(found) == bytes(packed) != pack(value)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xc1")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xdf\xff\xff\xff\xff\x01")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\x91" * 150)
@example(b"\x81" * 150)
@example(b"\x81\x90\x01")
@example(b"\xd4\x01\x02")
@example(b"\xd6\xff\x00\x00\x00\x00")
@example(b"\xa1\xff")
@example(b"\x01\x02")
def test_random_bytes_are_a_value_or_a_decode_error(data: bytes) -> None:
    try:
        found = unpack(data, max_bytes=MAX_BYTES)
    except DecodeError:
        return
    assert pack(found) == data


def test_a_thousand_nested_arrays_are_refused() -> None:
    with pytest.raises(DecodeError):
        unpack(b"\x91" * 1000 + b"\xc0", max_bytes=MAX_BYTES)


def test_nesting_is_bounded() -> None:
    value: list[Any] = []
    for _ in range(6):
        value = [value]
    assert unpack(pack(value), max_bytes=MAX_BYTES) == value
    with pytest.raises(DecodeError, match="deeper"):
        unpack(pack([[value]]), max_bytes=MAX_BYTES)


def test_more_bytes_than_the_bound_are_refused_unread() -> None:
    with pytest.raises(DecodeError, match="11 bytes, at most 10"):
        unpack(pack("0123456789"), max_bytes=10)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (msgpack.packb({"b": 1, "a": 2}), "keys out of order"),
        (b"\x82\xa1a\x01\xa1a\x02", "a key twice"),
        (b"\xcc\x01", "a number longer than it need be"),
        (b"\xca\x3f\x80\x00\x00", "a number of single precision"),
        (b"\xd9\x01a", "a text longer than it need be"),
        (b"\x01\xc0", "bytes after the value"),
    ],
)
def test_another_encoding_of_a_good_value_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(DecodeError):
        unpack(data, max_bytes=MAX_BYTES)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(msgpack.packb(msgpack.ExtType(1, b"x")), id="extension"),
        pytest.param(msgpack.packb(msgpack.Timestamp(1)), id="time"),
        pytest.param(msgpack.packb({1: 2}), id="number as a key"),
        pytest.param(msgpack.packb({"a": 1, b"b": 2}), id="keys of two kinds"),
    ],
)
def test_what_has_no_place_in_a_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        unpack(data, max_bytes=MAX_BYTES)


def fields(**value: Any) -> Fields:
    return Fields(value, "thing")


def test_a_field_is_returned_as_the_type_asked_for() -> None:
    found = fields(text="a", whole=3, number=2, truth=True, raw=b"xy", items=[1], texts=["a"], map={"a": "b"})
    assert found.text("text") == "a"
    assert found.integer("whole") == 3
    assert found.number("number") == 2.0
    assert found.truth("truth") is True
    assert found.raw("raw", exactly=2) == b"xy"
    assert found.items("items", most=1) == [1]
    assert found.texts("texts", most=1) == ("a",)
    assert found.text_map("map", most=1) == {"a": "b"}
    assert found.has("map")
    assert not found.has("other")


def test_an_absent_field_takes_its_default() -> None:
    found = fields()
    assert found.text("a", default="b") == "b"
    assert found.integer("a", default=4) == 4
    assert found.number("a", default=0.5) == 0.5
    assert found.truth("a", default=False) is False
    assert list(found.items("a", most=1)) == []
    assert found.text_map("a", most=1) == {}
    assert found.raw_map("a", most=1, each=1) == {}
    assert found.mapping("a") == {}


@pytest.mark.parametrize(
    ("method", "value", "bounds"),
    [
        ("text", 1, {}),
        ("text", b"bytes", {}),
        ("text", "abc", {"most": 2}),
        ("integer", True, {}),
        ("integer", 1.0, {}),
        ("integer", -1, {}),
        ("integer", 4, {"most": 3}),
        ("number", True, {}),
        ("number", float("nan"), {}),
        ("number", float("inf"), {}),
        ("number", "1", {}),
        ("truth", 1, {}),
        ("raw", "text", {}),
        ("raw", b"abc", {"exactly": 2}),
        ("raw", b"abc", {"most": 2}),
        ("items", {}, {"most": 3}),
        ("items", [1, 2], {"most": 1}),
        ("texts", [1], {"most": 1}),
        ("texts", ["abc"], {"most": 1, "each": 2}),
        ("text_map", [], {"most": 1}),
        ("text_map", {"a": 1}, {"most": 1}),
        ("text_map", {"a": "b"}, {"most": 0}),
        ("text_map", {"a": "b"}, {"most": 1, "each": 1}),
        ("raw_map", {"a": b"b"}, {"most": 1, "each": 9}),
        ("raw_map", {b"a": b"b"}, {"most": 1, "each": 1}),
        ("raw_map", {b"a": b"b"}, {"most": 0, "each": 9}),
    ],
)
def test_a_field_of_the_wrong_type_or_size_is_refused_by_name(method: str, value: Any, bounds: dict[str, int]) -> None:
    with pytest.raises(DecodeError, match=r"thing\.x is not"):
        getattr(fields(x=value), method)("x", **bounds)


@pytest.mark.parametrize("method", ["text", "integer", "number", "truth", "raw"])
def test_a_missing_field_without_a_default_is_refused(method: str) -> None:
    with pytest.raises(DecodeError, match=r"thing\.x is not"):
        getattr(fields(), method)("x")


def test_fields_of_something_that_is_no_map_are_refused() -> None:
    with pytest.raises(DecodeError, match="thing is not a map"):
        Fields([1], "thing")


def test_a_critical_field_must_be_known() -> None:
    fields(crit=["a"]).check_critical(frozenset({"a"}))
    with pytest.raises(DecodeError, match="thing needs b, c,"):
        fields(crit=["c", "a", "b"]).check_critical(frozenset({"a"}))
