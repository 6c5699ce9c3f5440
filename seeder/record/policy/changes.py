"""Which nodes are told next to whoever follows the fleet: those that changed, some at a time. Pure.

A node that is stuck changes each second, as its cause says for how long. Of such ones there may be more than are told
at once, and they are the first in every view: so what changed otherwise goes before them, and then who waited longest.
"""

from __future__ import annotations

from seeder.record.policy import shapes
from seeder.record.policy.view import Row, View

CHANGES_MAX = 250
"""So many changed nodes are told at once; the others come later."""

_PASSING = ("since_s", "heard_unix_s")


class Changes:
    """What was told of each node last: what stood in `view` when it began is known."""

    def __init__(self, view: View) -> None:
        self._told = _texts(view)  # who was told longest ago stands first

    def take(self, view: View) -> tuple[list[Row], list[str]]:
        """Return the nodes to tell now, at most CHANGES_MAX, and the ids of those that are gone; they are told then."""
        texts, told = _texts(view), self._told
        place = {id_: number for number, id_ in enumerate(told)}
        changed = [row for row in view.rows if texts[row.boot.id] != told.get(row.boot.id)]

        def turn(row: Row) -> tuple[bool, int]:
            id_ = row.boot.id
            return id_ in told and texts[id_][0] == told[id_][0], place.get(id_, -1)

        changed = sorted(changed, key=turn)[:CHANGES_MAX]
        for row in changed:
            told.pop(row.boot.id, None)
            told[row.boot.id] = texts[row.boot.id]
        gone = sorted(told.keys() - texts.keys())
        for id_ in gone:
            del told[id_]
        return changed, gone


def _texts(view: View) -> dict[str, tuple[str, str]]:
    """Return each node as text, without what changes by itself as time passes, and its cause, which may."""
    texts = {}
    for row in view.rows:
        values = shapes.node(row, now_s=view.now_s)
        cause = str(values.pop("cause"))
        texts[row.boot.id] = repr([value for name, value in values.items() if name not in _PASSING]), cause
    return texts
