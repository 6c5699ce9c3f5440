"""What is said of manifests, pointers and certificates before they end, and when a certificate is made anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from seeder.http.authority import LEAF_LIFE
from seeder.serve.renewal import is_due
from seeder.site.lifetimes import DAY_S, Lifetime, ending_lines, first_end

END = datetime(2027, 3, 1, tzinfo=UTC)
MANIFEST = Lifetime("manifest 7", END.timestamp(), 90 * DAY_S, "publish again")


@pytest.mark.parametrize(
    ("left_days", "said"),
    [
        (90.0, []),
        (30.5, []),
        (29.5, ["manifest 7 ends on 2027-03-01, 29 days from now: publish again"]),
        (1.5, ["manifest 7 ends on 2027-03-01, 1 day from now: publish again"]),
        (0.5, ["manifest 7 ends on 2027-03-01, less than a day from now: publish again"]),
        (-400.0, ["manifest 7 ended on 2027-03-01, and this machine's clock says 2028-04-04: publish again"]),
    ],
)
def test_a_life_of_which_less_than_a_third_is_left_is_told_with_what_to_do(left_days: float, said: list[str]) -> None:
    assert list(ending_lines([MANIFEST], now_s=END.timestamp() - left_days * DAY_S)) == said


def test_what_never_ends_is_not_told() -> None:
    endless = Lifetime("manifest 7", 1e15, 1e15, "publish again")
    assert list(ending_lines([endless], now_s=1e15)) == []


def test_a_certificate_is_made_anew_at_two_thirds_of_its_life_and_only_if_it_gains_by_that() -> None:
    begin = datetime(2026, 12, 1, tzinfo=UTC)
    ends, far, near = begin + LEAF_LIFE, begin + 10 * LEAF_LIFE, begin + LEAF_LIFE + timedelta(hours=12)
    assert not is_due(ends=ends, authority_ends=far, now=begin + 0.6 * LEAF_LIFE)
    assert is_due(ends=ends, authority_ends=far, now=begin + 0.7 * LEAF_LIFE)
    assert is_due(ends=ends, authority_ends=far, now=begin + 2 * LEAF_LIFE)
    assert not is_due(ends=ends, authority_ends=near, now=begin + 0.7 * LEAF_LIFE)


def test_what_ends_first_is_told_at_start() -> None:
    later = Lifetime("the authority ca.pem", END.timestamp() + DAY_S, 3650 * DAY_S, "make a new one")
    assert first_end([later, MANIFEST]) == "the first to end is manifest 7, on 2027-03-01"
    assert first_end([Lifetime("manifest 7", 1e15, 1e15, "publish again")]) == ""
