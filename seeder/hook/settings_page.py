"""The table of a node's settings as a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from swarmboot.settings import TABLE, Setting


def describe(settings: Sequence[Setting] = TABLE) -> str:
    """Return the table as a page of Markdown."""
    rows = ["| kernel argument | environment, flag | default | what it does | value, as in |", "|---|---|---|---|---|"]
    rows += [
        f"| `{s.argument}` | `{s.environment}` `{s.flag}` | {f'`{s.default}`' if s.default else ''} | {s.help} | "
        f"`{s.example}` |"
        for s in settings
    ]
    return "\n".join(rows) + "\n"
