"""How long a phase takes: one duration, or a spread of durations, as a person writes it in a scenario.

    "8s"                       always eight seconds
    "uniform 0s 60s"           anything between the two, alike likely
    "normal 20s 3s"            mean and standard deviation, cut at zero
    "lognormal 20s 0.3"        median and sigma: a long tail to the right
    "exponential 2s"           mean
    "every 0.1s"               node i after i times this: a stagger

Pure: it draws from a generator that the caller seeds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from netsim.scenario.arrays import Floats
from swarmboot.errors import MalformedSettingError
from swarmboot.text.units import parse_duration


class Shape(StrEnum):
    """The form of a spread."""

    FIXED = "fixed"
    UNIFORM = "uniform"
    NORMAL = "normal"
    LOGNORMAL = "lognormal"
    EXPONENTIAL = "exponential"
    EVERY = "every"


_NUMBERS = {
    Shape.FIXED: 1,
    Shape.UNIFORM: 2,
    Shape.NORMAL: 2,
    Shape.LOGNORMAL: 2,
    Shape.EXPONENTIAL: 1,
    Shape.EVERY: 1,
}


@dataclass(frozen=True, slots=True)
class Spread:
    """A spread of durations; `first` and `second` are seconds, but for the lognormal's sigma, which has no unit."""

    shape: Shape
    first: float
    second: float = 0.0

    def draw(self, random: np.random.Generator, count: int) -> Floats:
        """Return `count` durations in seconds, none below zero."""
        match self.shape:
            case Shape.FIXED:
                drawn = np.full(count, self.first)
            case Shape.UNIFORM:
                drawn = random.uniform(self.first, self.second, count)
            case Shape.NORMAL:
                drawn = random.normal(self.first, self.second, count)
            case Shape.LOGNORMAL:
                drawn = self.first * random.lognormal(0.0, self.second, count)
            case Shape.EXPONENTIAL:
                drawn = random.exponential(self.first, count)
            case Shape.EVERY:
                drawn = self.first * np.arange(count)
        return np.asarray(np.maximum(drawn, 0.0))


def fixed(duration_s: float) -> Spread:
    """Return the spread that is always `duration_s`."""
    return Spread(Shape.FIXED, duration_s)


def parse_spread(text: str) -> Spread:
    """Return the spread that a scenario writes so; raise MalformedSettingError otherwise."""
    words = text.split()
    shape = Shape.FIXED
    if words and words[0] in set(Shape):
        shape, words = Shape(words[0]), words[1:]
    if len(words) != _NUMBERS[shape]:
        raise MalformedSettingError(
            "not a spread of durations", expected="8s, uniform 0s 60s or normal 20s 3s", found=repr(text)
        )
    numbers = [
        float(word) if _is_sigma(shape, index, word) else parse_duration(word) for index, word in enumerate(words)
    ]
    if shape is Shape.UNIFORM and numbers[1] < numbers[0]:
        raise MalformedSettingError("not a spread of durations", expected="the smaller bound first", found=repr(text))
    return Spread(shape, *numbers)


def _is_sigma(shape: Shape, index: int, word: str) -> bool:
    """Return whether this number is the lognormal's sigma, which is written without a unit."""
    return shape is Shape.LOGNORMAL and index == 1 and re.fullmatch(r"[0-9]?(\.[0-9]{1,15})?", word) is not None
