"""What was probably meant by a word that is none of those that are known: one way for words of every kind. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

_ALIKE = 0.66
"""How much of two words is the same at least, of 1 (difflib's ratio): `gup` is `gpu`, and `spare` is not `stable`."""

_READ_MAX = 80


def nearest(word: str, known: Iterable[str]) -> str:
    """Return which of the known words was probably meant, whatever its capitals; nothing where none is alike."""
    return _nearest(word[:_READ_MAX].casefold(), tuple(known))


@lru_cache(maxsize=256)
def _nearest(word: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # only who mistypes pays for it

    folded = {each.casefold(): each for each in reversed(known)}
    turned = [each for each in folded if sorted(each) == sorted(word)]  # of a word of two letters nothing else is alike
    found = turned or get_close_matches(word, folded, 1, _ALIKE)
    return folded[found[0]] if found else ""


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """Return the question for a hint which of the known words was meant; `otherwise` where none is alike."""
    found = nearest(word, known)
    return f"did you mean {found}?" if found else otherwise
