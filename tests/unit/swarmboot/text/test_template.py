"""Templates: names are put in once, braces can be written, and everything else is refused before it is published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.text.template import TemplateError, filled_in, names_in

KNOWN = ("hostname", "mac", "rack")


def test_values_are_put_in_and_not_looked_at_again() -> None:
    assert names_in("a {hostname} {mac}{mac}\n", KNOWN) == {"hostname", "mac"}
    assert filled_in("a {hostname} {mac}{mac}\n", {"hostname": "{mac}", "mac": "52"}) == "a {mac} 5252\n"


def test_a_name_without_a_value_gives_nothing() -> None:
    assert filled_in("[{rack}]", {}) == "[]"


@given(st.text("{}ab\n"))
def test_doubled_braces_come_out_as_what_was_meant(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert names_in(doubled, KNOWN) == frozenset()
    assert filled_in(doubled, {}) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n{rak}", "line 2: {rak} stands for nothing; did you mean rack?"),
        ("{port}", "line 1: {port} stands for nothing; known are hostname, mac, rack"),
        ("server {\n}", "line 1: a single {; write {{ for a brace"),
        ("}", "line 1: a single }; write }} for a brace"),
        ("{{{", "line 1: a single {; write {{ for a brace"),
        ("{hostname.__class__}", "line 1: a single {; write {{ for a brace"),
    ],
)
def test_what_is_no_template_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        names_in(text, KNOWN)
    assert str(caught.value) == said
