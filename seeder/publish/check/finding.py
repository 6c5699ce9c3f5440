"""One thing that a release was found to have, in the words of a refusal: what, expected, found, what to do. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from swarmboot.errors import ReleaseError


@dataclass(frozen=True, slots=True)
class Finding:
    """A note, which costs nothing; or, if `is_fatal`, why no machine can boot the release."""

    what: str
    expected: str = ""
    found: str = ""
    hint: str = ""
    is_fatal: bool = False

    @property
    def line(self) -> str:
        """Return it on one line."""
        return str(ReleaseError(self.what, expected=self.expected, found=self.found, hint=self.hint))

    @property
    def value(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return asdict(self)


def fatal(what: str, *, expected: str = "", found: str = "", hint: str = "") -> Finding:
    """Return why no machine can boot the release."""
    return Finding(what, expected, found, hint, is_fatal=True)


def some(names: list[str], *, most: int = 3) -> str:
    """Return the first of many names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
