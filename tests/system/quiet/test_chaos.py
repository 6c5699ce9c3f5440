"""A rack with a fault is timed against the same rack without: nothing else may run beside either."""

from __future__ import annotations

import pytest

from tests.system.lab.commands import SMALL, lab


@pytest.mark.root
@pytest.mark.needs("ip", "tc", "nginx")
def test_a_rack_boots_although_its_seeder_dies_or_a_neighbour_lies() -> None:
    rows = ("seeder-killed-at-50", "liar-100")
    status, outcomes, said = lab("chaos", *SMALL, *(f"--row={row}" for row in rows))
    assert status == 0, said
    assert [outcome["row"] for outcome in outcomes] == ["fault-free", *rows]
    for outcome in outcomes:
        assert outcome["booted"] == outcome["expected"] == 5
        assert outcome["wrong"] == 0
        assert outcome["last_s"] <= outcome["bound_s"]
        assert outcome["faults"] == []
    assert outcomes[1]["server_copies"] < 1
