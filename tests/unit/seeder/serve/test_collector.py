"""When the interpreter looks for circles of garbage."""

from __future__ import annotations

import gc
import weakref

from seeder.serve import collector


class Circle:
    """An object that only the collector can end."""

    def __init__(self) -> None:
        self.itself = self


def test_what_was_exempted_is_collected_when_all_is_looked_through() -> None:
    before = gc.get_threshold()
    try:
        collector.settle()
        circle = Circle()
        gone = weakref.ref(circle)
        gc.freeze()
        del circle
        gc.collect()
        assert gone() is not None
        assert collector.settle() > 1 << 20
        assert gone() is None
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_all_is_looked_through_when_the_process_has_grown_by_a_quarter_or_seldom() -> None:
    mib = 1 << 20
    assert not collector.is_whole_due(200 * mib, 150 * mib, 60.0)
    assert collector.is_whole_due(210 * mib, 150 * mib, 60.0)
    assert collector.is_whole_due(150 * mib, 150 * mib, collector.WHOLE_S)
