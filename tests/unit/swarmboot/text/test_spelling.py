"""What was probably meant, and nothing where nothing is alike."""

from __future__ import annotations

import pytest

from swarmboot.text.spelling import did_you_mean, nearest

KNOWN = ("stable", "edge", "fleet_token", "gpu", "Rack", "ca")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("stabel", "stable"),
        ("STABLE", "stable"),
        ("edgy", "edge"),
        ("fleet-token", "fleet_token"),
        ("gup", "gpu"),
        ("rakc", "Rack"),
        ("ac", "ca"),
        ("wibble", ""),
        ("", ""),
        ("x" * 10_000, ""),
    ],
)
def test_the_nearest_word_is_found_whatever_its_capitals(word: str, meant: str) -> None:
    assert nearest(word, KNOWN) == meant


def test_the_hint_is_a_question_or_what_there_is_otherwise() -> None:
    assert did_you_mean("stabel", KNOWN) == "did you mean stable?"
    assert did_you_mean("wibble", KNOWN, otherwise="publish it first") == "publish it first"
