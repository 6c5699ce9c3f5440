"""What a booted node's neighbour announces with, as a real systemd hands it over: read, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.hook.files import hook_folder
from tests.support.waiting import wait_until
from tests.system.install.systemd import systemd_running

pytestmark = [pytest.mark.root, pytest.mark.needs("/usr/lib/systemd/systemd")]

UNIT = "swarmboot-seed.service"
_LOOK = """[Service]
ExecStart=
ExecStart=/bin/sh -c 'read -r line; echo "given $line as $(id -u)"; cat /run/swarmboot/handover/credentials'
Restart=no
"""
_RUNTIME = """
mkdir -p /run/swarmboot/runtime /run/swarmboot/handover && mount --bind / /run/swarmboot/runtime
echo plan >/run/swarmboot/handover/plan
umask 077 && echo "one key" >/run/swarmboot/handover/credentials
"""


def test_the_neighbour_is_given_its_credentials_and_cannot_read_their_file(tmp_path: Path) -> None:
    files = {
        f"etc/systemd/system/{UNIT}": (hook_folder() / "seed.service").read_text(),
        f"etc/systemd/system/{UNIT}.d/look.conf": _LOOK,
    }
    with systemd_running(tmp_path, files) as container:
        container.run("sh", "-euc", _RUNTIME)
        container.start(UNIT)
        wait_until(
            "the first service's end", lambda: container.shown(UNIT, "SubState") in ("dead", "failed"), every_s=0.1
        )
        said = container.journal(UNIT)
    assert "given one key as 6" in said, said  # a dynamic user's number is from 61184 to 65519
    assert "/run/swarmboot/handover/credentials: Permission denied" in said
