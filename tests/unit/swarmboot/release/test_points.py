"""Which 32 bytes are a public key: guards only, nothing is signed here."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.errors import KeyFileError, ManifestError
from swarmboot.release import trust
from swarmboot.release.points import fault_of
from tests.support.builders import build_key, build_key_set

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int]


def add(first: Point, second: Point) -> Point:
    """Add two points of the curve (RFC 8032, section 5.1.4, in affine coordinates)."""
    (x1, y1), (x2, y2) = first, second
    product = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def torsion() -> list[Point]:
    """Return the eight points of small order, as multiples of one of order 8."""
    # twice such a point has y = 0, so x^2 = -y^2, and the curve's equation becomes d y^4 + 2 y^2 - 1 = 0
    root = pow(1 + D, (P + 3) // 8, P)
    root = root if root * root % P == (1 + D) % P else root * ROOT_OF_MINUS_ONE % P
    for half in ((root - 1) * pow(D, -1, P) % P, (-root - 1) * pow(D, -1, P) % P):
        y = pow(half, (P + 3) // 8, P)
        y = y if y * y % P == half else y * ROOT_OF_MINUS_ONE % P
        if y * y % P == half:
            generator = (y * ROOT_OF_MINUS_ONE % P, y)
            points = [generator]
            while len(points) < 8:
                points.append(add(points[-1], generator))
            return points
    raise AssertionError("no point of order 8")


def encodings() -> list[bytes]:
    """Return every way to write the points of small order in 32 bytes, the non-canonical ones included."""
    ys = {y for _, y in torsion()}
    numbers = {y + extra for y in ys for extra in (0, P) if y + extra < 2**255}
    return [(number | sign << 255).to_bytes(32, "little") for number in sorted(numbers) for sign in (0, 1)]


def test_the_points_of_small_order_are_eight() -> None:
    points = torsion()
    assert points[-1] == (0, 1)
    assert len(set(points)) == 8
    assert len(encodings()) == 14


@pytest.mark.parametrize("public", encodings(), ids=bytes.hex)
def test_a_point_of_small_order_is_refused_in_every_encoding(public: bytes) -> None:
    assert fault_of(public)
    text = f"swarmboot-ed25519 {base64.b64encode(public).decode()}\n"
    with pytest.raises(KeyFileError, match=r"small order|canonical form"):
        trust.parse_public(text, where="fleet.pub")


def test_a_rotation_to_a_point_of_small_order_is_refused() -> None:
    payload = trust.encode_key_set(trust.KeySet(2, 1, {trust.key_id(bytes(32)): bytes(32)}))
    rotation = trust.sign(trust.Kind.KEYS, payload, [build_key(1)])
    with pytest.raises(ManifestError, match="small order"):
        trust.follow(build_key_set(1), [rotation])


@pytest.mark.parametrize("number", [2, P + 2, P + 3, 2**255 - 1, 2**256 - 1])
def test_what_is_no_point_or_not_canonical_is_refused(number: int) -> None:
    assert fault_of(number.to_bytes(32, "little"))


@given(st.integers(0, 10**6))
def test_every_key_that_is_made_is_taken(seed: int) -> None:
    assert fault_of(trust.public_bytes(build_key(seed))) == ""


@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_are_a_key_or_have_a_fault(public: bytes) -> None:
    try:
        trust.key_set([public])
    except KeyFileError:
        assert fault_of(public)
    else:
        assert not fault_of(public)
