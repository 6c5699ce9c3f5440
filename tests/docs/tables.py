"""Long words in tables, as a Sphinx extension: each may be broken where its parts meet, and nowhere else.

Tables have settings, paths and names of tests beside sentences. Broken anywhere they take little room and cannot be
read; a browser breaks at `<wbr>` (HTML, 4.5.27), which leaves nothing behind when the word is copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx

WHOLE_FIRST, WHOLE, WHOLE_PLAIN = 32, 12, 24
"""How long a word may be that is never broken: as code in the first two columns, by which a row is found, and in the
others, and in sentences."""

_JOINT = re.compile(r"(?<=[/=,:_])(?=[^/=,:_])|(?<= )")


def parts_of(word: str, whole: int = WHOLE) -> list[str]:
    """Return the parts of a word between which it may be broken."""
    return [word] if len(word) <= whole else _JOINT.split(word)


def mark_words(_app: Sphinx, page: nodes.document, _name: str) -> None:
    """Say of the words in a page's tables where they may be broken."""
    for row in page.findall(nodes.row):
        for column, entry in enumerate(row.findall(nodes.entry)):
            whole = WHOLE_FIRST if column < 2 else WHOLE
            for text in list(entry.findall(nodes.Text)):
                is_code = isinstance(text.parent, nodes.literal)
                words = [str(text)] if is_code else re.split(r"(?<= )", str(text))
                text.parent.replace(text, list(_broken(words, whole if is_code else WHOLE_PLAIN)))


def _broken(words: list[str], whole: int) -> Iterator[nodes.Node]:
    for word in words:
        for at, part in enumerate(parts_of(word, whole)):
            if at:
                yield nodes.raw("", "<wbr>", format="html")
            yield nodes.Text(part)


def setup(app: Sphinx) -> dict[str, bool]:
    """Take part in a build (sphinx-doc.org, "Application API")."""
    app.connect("doctree-resolved", mark_words)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
