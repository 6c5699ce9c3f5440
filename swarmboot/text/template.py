"""Templates of a node's own files: `{name}` stands for a value, `{{` and `}}` for a brace, and nothing else means
anything: no expression, no condition, no default. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from swarmboot.text.spelling import did_you_mean

_PART = re.compile(r"\{\{|\}\}|\{([a-z_]{1,32})\}|[{}]")


class TemplateError(ValueError):
    """Occurs when a text is no template; it says the line, what is wrong and what was expected."""


def names_in(text: str, known: Collection[str]) -> frozenset[str]:
    """Return the names that a template has values put in for; raise TemplateError unless all of it can be filled in."""
    names = set()
    for match in _PART.finditer(text):
        if match[1] is not None and match[1] in known:
            names.add(match[1])
        elif match[0] not in ("{{", "}}"):
            raise TemplateError(_fault(text, match, known))
    return frozenset(names)


def _fault(text: str, match: re.Match[str], known: Collection[str]) -> str:
    line = text.count("\n", 0, match.start()) + 1
    if match[1] is None:
        return f"line {line}: a single {match[0]}; write {match[0] * 2} for a brace"
    hint = did_you_mean(match[1], sorted(known), otherwise=f"known are {', '.join(sorted(known))}")
    return f"line {line}: {match[0]} stands for nothing; {hint}"


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """Return a template's text with its values, which are not looked at again; a name without a value gives nothing."""
    braces = {"{{": "{", "}}": "}"}
    return _PART.sub(lambda match: braces.get(match[0]) or values.get(match[1] or "", ""), text)
