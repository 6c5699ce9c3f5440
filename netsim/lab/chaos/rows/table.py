"""All rows of the chaos table, in the order in which they are played."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsim.lab.chaos.rows.hostile import ROWS as HOSTILE_ROWS
from netsim.lab.chaos.rows.seeder import ROWS as SEEDER_ROWS
from netsim.lab.chaos.rows.site import ROWS as SITE_ROWS
from netsim.lab.chaos.verdict import FAULT_FREE
from swarmboot.errors import MalformedSettingError
from swarmboot.text.spelling import did_you_mean

if TYPE_CHECKING:
    from netsim.lab.chaos.rows.row import Row

ROWS = {row.name: row for row in (*SEEDER_ROWS, *HOSTILE_ROWS, *SITE_ROWS)}


def rows_named(names: tuple[str, ...]) -> list[Row]:
    """Return the rows of those names after the fault-free one, or all without a name; raise MalformedSettingError."""
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        hint = did_you_mean(unknown[0], ROWS)
        raise MalformedSettingError("unknown --row", expected=" or ".join(ROWS), found=repr(unknown[0]), hint=hint)
    return [row for row in ROWS.values() if not names or row.name in (FAULT_FREE, *names)]
