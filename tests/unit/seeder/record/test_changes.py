"""Which nodes are told next to whoever follows the fleet."""

from __future__ import annotations

from dataclasses import replace

from seeder.record.policy.boot import Boot
from seeder.record.policy.changes import CHANGES_MAX, Changes
from seeder.record.policy.view import View, build_view

LIMITS_S = {"silent": 30.0}


def boots(count: int, *, heard_s: float, of: str = "node") -> list[Boot]:
    phases = {"images": (0.0, None)}
    names = [f"{of}{number:04d}" for number in range(count)]
    return [Boot(id=name, began_s=0.0, heard_s=heard_s, name=name, nodes=(name,), phases=phases) for name in names]


def view(*some: list[Boot], now_s: float) -> View:
    return build_view([boot for each in some for boot in each], LIMITS_S, now_s=now_s)


def ids(changes: Changes, seen: View) -> list[str]:
    changed, gone = changes.take(seen)
    assert gone == []
    assert len(changed) <= CHANGES_MAX
    return [row.boot.id for row in changed]


def test_what_changed_is_told_once_and_what_is_gone_too() -> None:
    well = boots(3, heard_s=100.0)
    changes = Changes(view(well, now_s=100.0))
    assert ids(changes, view(well, now_s=101.0)) == []
    well[1] = replace(well[1], have_bytes=50, total_bytes=100)
    assert ids(changes, view(well, now_s=102.0)) == ["node0001"]
    assert ids(changes, view(well, now_s=103.0)) == []
    assert changes.take(view(well[1:], now_s=104.0)) == ([], ["node0000"])
    assert changes.take(view(well[1:], now_s=105.0)) == ([], [])
    assert ids(changes, view(well, now_s=106.0)) == ["node0000"]


def test_of_more_stuck_nodes_than_are_told_at_once_each_has_its_turn_after_what_changed_otherwise() -> None:
    stuck = boots(2 * CHANGES_MAX, heard_s=0.0, of="stuck")
    well = boots(3, heard_s=100.0)
    changes = Changes(view(stuck, well, now_s=100.0))
    assert len(ids(changes, view(stuck, well, now_s=101.0))) == CHANGES_MAX
    well[1] = replace(well[1], have_bytes=50, total_bytes=100)
    second = ids(changes, view(stuck, well, now_s=102.0))
    assert second[0] == "node0001"
    third = ids(changes, view(stuck, well, now_s=103.0))
    fourth = ids(changes, view(stuck, well, now_s=104.0))
    assert set(third) | set(fourth) == {boot.id for boot in stuck}
