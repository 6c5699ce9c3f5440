"""Every decoder takes any bytes: a value, or one of its own errors, and nothing else ever."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.decoders import DECODERS, Decoder

VECTORS = Path(__file__).parent.parent / "vectors" / "fuzz"
BY_NAME = {decoder.name: decoder for decoder in DECODERS}
every_decoder = pytest.mark.parametrize("decoder", DECODERS, ids=BY_NAME)


@every_decoder
def test_a_decoder_takes_its_own_seeds(decoder: Decoder) -> None:
    taken = [decoder.try_bytes(seed) for seed in decoder.seeds]
    assert any(taken) or decoder.name in ("fleet token", "piece layers")


@every_decoder
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=2000))
def test_random_bytes_end_in_a_value_or_in_the_decoders_own_error(decoder: Decoder, data: bytes) -> None:
    decoder.try_bytes(data)


@every_decoder
@settings(max_examples=60, deadline=None)
@given(number=st.integers(0, 2**32))
def test_good_bytes_gone_bad_end_in_a_value_or_in_the_decoders_own_error(decoder: Decoder, number: int) -> None:
    random = Random(number)
    data = bytearray(random.choice(decoder.seeds))
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        match random.randrange(4):
            case 0:
                data[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                del data[at : at + random.randint(1, 40)]
            case 2:
                data[at:at] = random.choice((b"\0", b"\xff", b"9" * 400, b"[" * 50, b"\xdd\x00\x0f\xff\xff", b"nan"))
            case 3:
                data[at:at] = data[at : at + random.randint(1, 200)]
    decoder.try_bytes(bytes(data))


def vectors() -> list[Path]:
    return sorted(VECTORS.glob("*/*"))


@pytest.mark.parametrize("path", vectors(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_once_is_never_found_again(path: Path) -> None:
    BY_NAME[path.parent.name].try_bytes(path.read_bytes())
