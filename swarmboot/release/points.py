"""Whether 32 bytes are an Ed25519 public key that one signer alone can sign for.

Follows RFC 8032 section 5.1.3 (decoding of points) and refuses the points of small order, for which signatures can be
made without any private key; the list of their y-coordinates is libsodium's and RFC 7748's section 6 remark's. OpenSSL
takes any 32 bytes. It does no signature and no other arithmetic.
"""

from __future__ import annotations

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})
"""The y-coordinates of the eight points whose order divides 8."""


def fault_of(public: bytes) -> str:
    """Return why these 32 bytes are no public key to be trusted, as the end of a sentence; nothing if they are one."""
    number = int.from_bytes(public, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if y >= _P:
        return "is not written in the canonical form of RFC 8032"
    if y in _SMALL:
        return "is a point of small order, for which anybody can sign"
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if pow(square, (_P - 1) // 2, _P) != 1 or (square == 0 and sign):
        return "is no point of the curve"
    return ""
