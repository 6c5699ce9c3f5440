"""Settings as a shell reads assignments (POSIX.1-2024, XCU 2.2 and 2.9.1): data, of which nothing is ever run.

Quotes, backslashes, comments, `export` and several assignments on a line mean what they mean to sh(1). Whatever a shell
would look up or run instead (`$`, backquotes, `~`, commands, redirections) is refused with its line. It reads no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from swarmboot.errors import ReleaseError

SECRET = ".secret.env"  # noqa: S105 - a file's name
"""What the names of files end in whose values are never repeated."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_EXPANDS = re.compile(r"\$[A-Za-z0-9_{(*@#?$!'\"-]")
_EXPANDS_IN_QUOTES = re.compile(r"\$[A-Za-z0-9_{(*@#?$!-]")
_RUNS = "&|<>()"
_ESCAPED_IN_QUOTES = '$`"\\'
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word with its quotes taken off; `bare` is how many characters at its beginning stood without any."""

    text: str
    bare: int
    line: int


def parse_shell_env(text: str, *, where: str) -> dict[str, str]:
    """Return the settings of one file, the last of a name winning.

    Raises ReleaseError with `where` and the line for what is no assignment, or would be expanded or run.
    """
    settings: dict[str, str] = {}
    reader = _Reader(text.replace("\r\n", "\n"), where)
    for words in reader.commands():
        is_export = len(words) > 1 and words[0].text == "export" and words[0].bare == len("export")
        for word in words[1:] if is_export else words:
            name, equals, value = word.text.partition("=")
            if not equals and is_export and name in settings:
                continue
            if not equals or not _NAME.match(name) or word.bare <= len(name):
                raise reader.refused(word.line, "is no assignment: a shell would run it")
            if _CONTROL.search(value):
                raise reader.refused(word.line, "has a line break or a control character in its value")
            settings[name] = value
    return settings


class _Reader:
    """Splits a text into commands and words."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._at = 0

    def refused(self, line: int, why: str) -> ReleaseError:
        """Return the error for a line."""
        found = self._text.split("\n")[line - 1].strip()
        return ReleaseError(
            f"{self._where}:{line} {why}",
            expected="NAME=value, with or without export, quotes and comments",
            found="" if self._where.endswith(SECRET) else repr(found[:60]),
            hint="these files are data here and never run: write the value itself, in single quotes",
        )

    def commands(self) -> Iterator[list[_Word]]:
        """Yield each command's words; none is empty."""
        words: list[_Word] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char in " \t":
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
            elif char == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif char in "\n;":
                if char == ";" and not words:
                    raise self.refused(self._line(), "has nothing before its `;`")
                self._at += 1
                if words:
                    yield words
                words = []
            else:
                words.append(self._word())
        if words:
            yield words

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _word(self) -> _Word:
        line, parts, bare = self._line(), "", -1
        while self._at < len(self._text) and (char := self._text[self._at]) not in " \t\n;":
            if char in _RUNS:
                raise self.refused(self._line(), f"has a {char!r}, with which a shell would run something")
            if char in "'\"\\" and bare < 0 and not self._text.startswith("\\\n", self._at):
                bare = len(parts)
            if char == "'":
                parts += self._single()
            elif char == '"':
                parts += self._double()
            elif char == "\\":
                parts += self._escaped()
            else:
                self._check_plain(parts)
                parts += char
                self._at += 1
        return _Word(parts, len(parts) if bare < 0 else bare, line)

    def _check_plain(self, before: str) -> None:
        char = self._text[self._at]
        is_home = char == "~" and before.endswith(("=", ":"))
        if char == "`" or is_home or (char == "$" and _EXPANDS.match(self._text, self._at)):
            raise self.refused(self._line(), f"has a {char!r} that a shell would expand")

    def _escaped(self) -> str:
        found = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        return "" if found == "\n" else found or "\\"

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise self.refused(self._line(), "has a quote that does not end")
        found = self._text[self._at + 1 : end]
        self._at = end + 1
        return found

    def _double(self) -> str:
        line, parts = self._line(), ""
        self._at += 1
        while self._at < len(self._text):
            char, following = self._text[self._at], self._text[self._at + 1 : self._at + 2]
            if char == '"':
                self._at += 1
                return parts
            if char == "`" or (char == "$" and _EXPANDS_IN_QUOTES.match(self._text, self._at)):
                raise self.refused(self._line(), f"has a {char!r} that a shell would expand")
            if char == "\\" and following and following in _ESCAPED_IN_QUOTES + "\n":
                parts += following.strip("\n")
                self._at += 2
            else:
                parts += char
                self._at += 1
        raise self.refused(line, "has a quote that does not end")


def format_env(settings: dict[str, str], *, where: str) -> str:
    """Return settings as lines of `env/*.env`; raise ReleaseError for a value that no such line can carry."""
    lines = []
    for name, value in settings.items():
        quote = next((quote for quote in ("", "'", '"') if _carries(value, quote)), None)
        if quote is None:
            raise ReleaseError(
                f"{where}: the value of {name} cannot be carried",
                expected="a value without one of the two kinds of quotes",
                found="" if where.endswith(SECRET) else repr(value[:60]),
            )
        lines.append(f"{name}={quote}{value}{quote}\n")
    return "".join(lines)


def _carries(value: str, quote: str) -> bool:
    if not quote:
        return value == value.strip(" \t") and not value.startswith(("'", '"'))
    return quote not in value
