"""Runs the command line for tests: in this process, or as the real program."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from swarmboot.cli import main

BOUND_S = 120


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """Return the last line on standard error: the refusal, if it was one."""
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""

    @property
    def value(self) -> Any:
        """Return what was printed as one JSON object."""
        return json.loads(self.out)


def run(*arguments: object) -> Done:
    """Run `swarmboot` with these arguments in this process and return how it ended."""
    out, err = io.StringIO(), io.StringIO()
    words = ["swarmboot", *(str(argument) for argument in arguments)]
    code: object = 0
    with patch.object(sys, "argv", words), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def run_program(*arguments: object, **options: Any) -> Done:
    """Run `python -m swarmboot` with these arguments and return how it ended."""
    words = [sys.executable, "-m", "swarmboot", *(str(argument) for argument in arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=BOUND_S, check=False, **options)
    return Done(done.returncode, done.stdout, done.stderr)
