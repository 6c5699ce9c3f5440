"""Programs that are run to their end."""

from __future__ import annotations

import pytest

from swarmboot.errors import LabError, ResourceError
from swarmboot.host.programs import last_words, run_program


def test_what_a_program_prints_comes_back() -> None:
    assert run_program(("cat",), bound_s=60, failure=LabError, given="a\nb\n") == "a\nb\n"
    assert run_program(("printenv", "A"), bound_s=60, failure=LabError, environment={"A": "1"}) == "1\n"


def test_a_program_that_fails_is_one_line_with_its_last_words_and_what_to_do() -> None:
    with pytest.raises(ResourceError) as raised:
        run_program(
            ("/bin/sh", "-c", "echo all is well; printf '%s\\n' one two three four >&2; exit 3"),
            bound_s=60, failure=ResourceError, hint="mend it",
        )  # fmt: skip
    assert str(raised.value) == "sh failed: expected exit status 0, found 3: two three four; mend it"


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(LabError, match=r"^a nap took longer than 0\.01 s$"):
        run_program(("sleep", "60"), bound_s=0.01, failure=LabError, what="a nap")


def test_the_words_of_a_silent_program_say_so() -> None:
    assert last_words(" \n") == "no message"
    assert len(last_words("x" * 5000)) == 300
