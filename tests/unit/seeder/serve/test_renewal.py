"""What ends is said once a day, while there is time to act."""

from __future__ import annotations

from pathlib import Path

from seeder.http.authority import first_certificate, issue_certificate
from seeder.log import Log
from seeder.policy.facts.registry import Registry
from seeder.serve.guard import Guard
from seeder.serve.renewal import Renewal
from seeder.site.catalogue import Catalogue
from seeder.site.lifetimes import DAY_S
from swarmboot.crypto.validity import validity


async def test_what_ends_is_said_at_start_and_again_after_a_day_and_not_between(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    own = issue_certificate(tmp_path / "state", ["127.0.0.1"])
    assert own.authority is not None
    said: list[bytes] = []
    log = Log(write=said.append)
    renewal = Renewal(own, None, Guard((), b"", tell=log.tell), log)
    catalogue = Catalogue(tmp_path / "site", Registry())
    start_s = validity(first_certificate(own.authority)).ends.timestamp() - 100 * DAY_S
    try:
        for days in (0.0, 0.5, 0.99, 1.01, 1.5, 2.02):
            await renewal.tell_endings(catalogue, start_s + days * DAY_S)
    finally:
        log.close()
    lines = b"".join(said).decode().splitlines()
    assert [line.partition(" days from now")[0].rpartition(" ")[2] for line in lines] == ["100", "98", "97"], lines
    assert all("the authority" in line and "rebuild the initramfs" in line for line in lines)
