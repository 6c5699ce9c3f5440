"""Strict, bounded msgpack: one way to write a value, and a reader that takes nothing on trust.

Written maps have their keys sorted, so equal values have equal bytes, and the reader accepts only bytes that it would
have written itself. Lengths and depth are bounded before anything is allocated. Extension types do not exist here.
Follows the msgpack specification (github.com/msgpack/msgpack/blob/master/spec.md). It will not guess at types: a field
is what the caller says it is, or `DecodeError`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgpack

_MAX_DEPTH = 8
_MAX_ITEMS = 1 << 16
"""Most items of a list or map: room for them is made before they are there, in each of the lists around them."""
_KEYS = frozenset({str, bytes})
_SCALARS = frozenset({bool, int, float, str, bytes, type(None)})


class DecodeError(ValueError):
    """Occurs when bytes are not a value of the kind expected; the text says which field and why."""


def pack(value: object) -> bytes:
    """Return the one msgpack encoding of `value`, maps sorted by key."""
    packed: bytes = msgpack.packb(_sorted(value), use_bin_type=True)
    return packed


def unpack(data: bytes, *, max_bytes: int) -> Any:
    """Return the value in `data`; raise DecodeError if it is too large, malformed, or not as `pack` writes it."""
    if len(data) > max_bytes:
        raise DecodeError(f"{len(data)} bytes, at most {max_bytes} are taken")
    try:
        value = msgpack.unpackb(
            data, raw=False, strict_map_key=False, use_list=True, max_ext_len=0,
            max_array_len=_MAX_ITEMS, max_map_len=_MAX_ITEMS,
        )  # fmt: skip
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise DecodeError(f"not msgpack: {error or type(error).__name__}") from error
    if not _is_sorted(value, _MAX_DEPTH) or msgpack.packb(value, use_bin_type=True) != data:
        raise DecodeError("not in canonical form")
    return value


def _sorted(value: object) -> object:
    if type(value) in _SCALARS:
        return value
    if isinstance(value, list | tuple):
        return [item if type(item) in _SCALARS else _sorted(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value


def _is_sorted(value: object, left: int) -> bool:
    """Return whether every map in a decoded value has its keys in order; raise DecodeError for what none may hold."""
    if left == 0:
        raise DecodeError(f"nested deeper than {_MAX_DEPTH}")
    items: Iterable[object] = ()
    is_sorted = True
    if isinstance(value, dict):
        kinds = {type(key) for key in value}
        if not kinds <= _KEYS:
            raise DecodeError("a map key that is neither text nor bytes")
        if len(kinds) > 1:
            raise DecodeError("a map with keys of two types")
        is_sorted = list(value) == sorted(value)
        items = value.values()
    elif isinstance(value, list):
        items = value
    elif type(value) not in _SCALARS:
        raise DecodeError(f"a value of type {type(value).__name__}")
    for item in items:
        if left == 1 or type(item) not in _SCALARS:
            is_sorted &= _is_sorted(item, left - 1)
    return is_sorted


class Fields:
    """The fields of one decoded map, taken one by one with the type and bounds that each must have."""

    def __init__(self, value: object, kind: str) -> None:
        if not isinstance(value, dict):
            raise DecodeError(f"{kind} is not a map")
        self._fields = value
        self._kind = kind

    def _refuse(self, name: str, expected: str) -> DecodeError:
        return DecodeError(f"{self._kind}.{name} is not {expected}")

    def text(self, name: str, *, most: int = 256, default: str | None = None) -> str:
        """Return a string of at most `most` characters."""
        value = self._fields.get(name, default)
        if not isinstance(value, str) or len(value) > most:
            raise self._refuse(name, f"text of at most {most} characters")
        return value

    def integer(self, name: str, *, least: int = 0, most: int = 2**53, default: int | None = None) -> int:
        """Return an integer between `least` and `most`."""
        value = self._fields.get(name, default)
        if type(value) is not int or not least <= value <= most:
            raise self._refuse(name, f"an integer from {least} to {most}")
        return value

    def number(self, name: str, *, least: float = 0.0, most: float = 1e15, default: float | None = None) -> float:
        """Return a finite number between `least` and `most`. Zero has no sign: equal values have equal bytes."""
        value = self._fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise self._refuse(name, f"a number from {least:g} to {most:g}")
        if value == 0 and math.copysign(1.0, value) < 0:
            raise self._refuse(name, "a number: it is a zero with a sign")
        return float(value)

    def truth(self, name: str, *, default: bool | None = None) -> bool:
        """Return a boolean."""
        value = self._fields.get(name, default)
        if not isinstance(value, bool):
            raise self._refuse(name, "true or false")
        return value

    def raw(self, name: str, *, exactly: int | None = None, most: int = 2**20) -> bytes:
        """Return bytes, of one length or bounded."""
        value = self._fields.get(name)
        if not isinstance(value, bytes) or len(value) > most or (exactly is not None and len(value) != exactly):
            raise self._refuse(name, f"{exactly} bytes" if exactly is not None else f"at most {most} bytes")
        return value

    def raw_or_none(self, name: str, *, exactly: int) -> bytes:
        """Return bytes of one length, or none; missing ones are none."""
        value = self._fields.get(name, b"")
        if not isinstance(value, bytes) or len(value) not in (0, exactly):
            raise self._refuse(name, f"{exactly} bytes or none")
        return value

    def items(self, name: str, *, most: int) -> Sequence[Any]:
        """Return a list of at most `most` items; a missing one is empty."""
        value = self._fields.get(name, [])
        if not isinstance(value, list) or len(value) > most:
            raise self._refuse(name, f"a list of at most {most}")
        return value

    def texts(self, name: str, *, most: int, each: int = 256) -> tuple[str, ...]:
        """Return a tuple of at most `most` strings of at most `each` characters."""
        values = self.items(name, most=most)
        if not all(isinstance(value, str) and len(value) <= each for value in values):
            raise self._refuse(name, f"a list of texts of at most {each} characters")
        return tuple(values)

    def text_map(self, name: str, *, most: int, each: int = 4096) -> dict[str, str]:
        """Return a map of text to text; a missing one is empty."""
        value = self._fields.get(name, {})
        if not isinstance(value, dict) or len(value) > most:
            raise self._refuse(name, f"a map of at most {most}")
        if not all(isinstance(k, str) and isinstance(v, str) and len(k) + len(v) <= each for k, v in value.items()):
            raise self._refuse(name, f"a map of texts of at most {each} characters")
        return dict(value)

    def has(self, name: str) -> bool:
        """Return whether the field is there."""
        return name in self._fields

    def mapping(self, name: str) -> object:
        """Return a nested map for a `Fields` of its own; a missing one is empty."""
        return self._fields.get(name, {})

    def raw_map(self, name: str, *, most: int, each: int) -> dict[bytes, bytes]:
        """Return a map of bytes to bytes; a missing one is empty."""
        value = self._fields.get(name, {})
        if not isinstance(value, dict) or len(value) > most:
            raise self._refuse(name, f"a map of at most {most}")
        if not all(isinstance(k, bytes) and isinstance(v, bytes) and len(k) + len(v) <= each for k, v in value.items()):
            raise self._refuse(name, f"a map of bytes of at most {each}")
        return dict(value)

    def unknown(self, known: frozenset[str]) -> tuple[str, ...]:
        """Return the names of fields beyond these, sorted: what a newer version has written."""
        return tuple(sorted(str(name) for name in self._fields.keys() - known - {"crit"}))

    def check_critical(self, known: frozenset[str]) -> None:
        """Raise DecodeError if the map marks a field as critical that this version does not know.

        Follows RFC 7515 section 4.1.11: a producer lists in `crit` the fields a reader must understand.
        """
        unknown = sorted(set(self.texts("crit", most=32)) - known)
        if unknown:
            raise DecodeError(f"{self._kind} needs {', '.join(unknown)[:200]}, which this version does not know")
