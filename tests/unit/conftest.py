"""Unit tests open no connection and wait for no clock; one that tries fails where it does it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.shells import SHELLS

_CONNECTIONS = {"socket.bind", "socket.connect", "socket.sendto", "socket.getaddrinfo"}
_is_unit_test_running = False


def _refuse(what: str) -> None:
    raise RuntimeError(f"a unit test reached {what}; it belongs in tests/integration")


def _watch(event: str, _arguments: tuple[object, ...]) -> None:
    if _is_unit_test_running and event in _CONNECTIONS:
        _refuse(event)


def _sleep(duration_s: float, _real: Callable[[float], None] = time.sleep) -> None:
    if sys._getframe(1).f_globals["__name__"] != "subprocess":  # which polls for the end of its child
        _refuse("time.sleep")
    _real(duration_s)


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def _no_socket_no_sleep(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    global _is_unit_test_running
    _is_unit_test_running = True
    monkeypatch.setattr(time, "sleep", _sleep)
    yield
    _is_unit_test_running = False


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return a shell that an initramfs may bring; the test is run for each."""
    command: tuple[str, ...] = request.param
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    return command
