"""The stage-0 server in this process: what a script says while releases come and go."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from seeder.boot_script.load import Stage0Trust, stage0_of
from seeder.log import Log
from seeder.policy.facts.registry import Registry
from seeder.policy.stage0_queue import Stage0Queue
from seeder.site.catalogue import Catalogue
from seeder.stage0.app import Stage0App, Stage0Config
from seeder.stage0.watcher import Nobody
from swarmboot.ids import Digest, Sequence
from swarmboot.release.manifest import Manifest
from tests.support.stage0 import INITRAMFS, KERNEL, MANIFEST, A

NEXT = replace(
    MANIFEST,
    sequence=Sequence(MANIFEST.sequence + 1),
    cmdline="next",
    artifacts=(
        replace(KERNEL, sha256=Digest(b"k" * 32)),
        replace(INITRAMFS, sha256=Digest(b"i" * 32)),
        *MANIFEST.artifacts[2:],
    ),
)


class Publisher(Nobody):
    """Has the channel point to another release as soon as a machine has asked."""

    app: Stage0App

    def __init__(self, then: Manifest | None) -> None:
        self.then = then

    def asked(self, mac: str, host: str, rack: str) -> None:
        """Take the other release."""
        del mac, host, rack
        take(self.app, self.then)


def take(app: Stage0App, manifest: Manifest | None) -> None:
    app.releases.main.manifest = manifest
    app.releases.main.queue.serve(stage0_of(manifest) if manifest else None)


@pytest.mark.parametrize("path", ["/boot.ipxe", "/grub.cfg"])
@pytest.mark.parametrize("then", [NEXT, None])
async def test_a_machine_that_waits_while_a_release_comes_loads_that_one_by_its_own_command_line(
    path: str, then: Manifest | None
) -> None:
    registry, publisher, none = Registry(), Publisher(then), Path("none")
    queue = Stage0Queue(registry, trust=Stage0Trust.LAN, uplink_bytes_per_s=1e8)
    publisher.app = app = Stage0App(queue, Catalogue(none, registry), Stage0Config(site=none), Log(), watcher=publisher)
    take(app, MANIFEST)
    transport = httpx.ASGITransport(app.application(), client=("10.0.0.9", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.1:8080", timeout=10) as machine:
        script = (await machine.get(f"{path}?mac={A}")).text
    images = set(re.findall(r"/k/([0-9a-f]{64})", script))
    told = re.findall(r"swarmboot\.stage0=([0-9a-f]+),([0-9a-f]+)", script)
    assert images == ({(b"k" * 32).hex(), (b"i" * 32).hex()} if then else set())
    assert {prefix for each in told for prefix in each} == {image[:16] for image in images}
    assert ("next" in script) is (then is not None)
