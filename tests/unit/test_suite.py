"""The suite itself: what it needs of whoever starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import restore_signals

IGNORABLE = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


@pytest.fixture
def ignoring() -> Iterator[None]:
    """Ignore what a shell's background jobs and nohup ignore, as long as the test runs."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in IGNORABLE}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ignored_by_a_child() -> str:
    ask = f"import signal; print([n for n in {[*map(int, IGNORABLE)]} if signal.getsignal(n) is signal.SIG_IGN])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_programs_that_tests_start_hear_signals_that_a_background_shell_ignores(ignoring: None) -> None:
    assert ignored_by_a_child() == str([*map(int, IGNORABLE)])
    restore_signals()
    assert ignored_by_a_child() == "[]"


def test_a_handler_that_is_there_stays() -> None:
    before = [signal.getsignal(number) for number in IGNORABLE]
    restore_signals()
    assert [signal.getsignal(number) for number in IGNORABLE] == before
