"""Programs that are run to their end: what they printed, or one line about why they failed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence

from swarmboot.errors import SwarmbootError, ToolMissingError

_LINES, _LONGEST = 3, 300


def check_installed(packages: Mapping[str, str], *, hint: str = "") -> None:
    """Raise ToolMissingError for programs that are missing; `packages` has Debian's package of each."""
    missing = [program for program in packages if not shutil.which(program)]
    if missing:
        names = [*dict.fromkeys(packages[program] for program in missing)]
        plural = "s" if len(names) > 1 else ""
        what = f"{missing[0]} is not installed" if len(missing) == 1 else f"not installed: {', '.join(missing)}"
        raise ToolMissingError(what, hint=hint or f"install the package{plural} {' '.join(names)}")


def run_program(
    command: Sequence[str],
    *,
    bound_s: float,
    failure: type[SwarmbootError],
    what: str = "",
    hint: str = "",
    environment: Mapping[str, str] | None = None,
    given: str = "",
) -> str:
    """Run a program that reads `given` and return what it printed.

    Raises `failure`, which calls it `what` or by its name, if it ends with another status than 0 or not within
    `bound_s` seconds; FileNotFoundError if there is no such program. Without `environment` it has this process's.
    """
    name = what or command[0].rpartition("/")[2]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, errors="replace", timeout=bound_s, check=False,
            env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise failure(f"{name} took longer than {bound_s:g} s", hint=hint) from error
    if done.returncode != 0:
        words = last_words(done.stderr.strip() or done.stdout)
        raise failure(f"{name} failed", expected="exit status 0", found=f"{done.returncode}: {words}", hint=hint)
    return done.stdout


def last_words(output: str) -> str:
    """Return the end of what a program has said, for one line."""
    return " ".join(output.strip().splitlines()[-_LINES:])[-_LONGEST:] or "no message"
