"""What the tests of every ground share: two releases, a LAN each, and a table of what was seen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.system.vm import images, roots
from tests.system.vm.cache import CACHE
from tests.system.vm.grounds import Ground
from tests.system.vm.lan import NAME, Lan, open_lan
from tests.system.vm.machine import OWN_CLOCK, UNPLUGGED, Machine, booting, mac_of

END = "marker: end of it"
BOOT_S = 900.0
"""A bound on hangs, several times what a slow machine takes."""
PLUGINS = 12
_FULL_PORT, _TINY_PORT = 8470, 8480
_UPLINK = "50mbit"
"""So scarce that an emulated neighbour is the better source: it delivers some 10 MB/s."""
_PADDING_BYTES = 6_000_000
_ODD_BYTES = 777
CARDS = {
    "one card": ("rack",),
    "no carrier": (UNPLUGGED, "rack"),
    "dead DHCP": ("", "rack"),
    "useless DHCP": ("other", "rack"),
}
"""Where the cards of a machine lead, the one that is of use always the last."""
DHCP_NAMES = {"first": "node7", "second": "node8"}
"""What DHCP calls machines of the suite's own root."""

ADDRESS, READY = "an address", "the root is ready"
_COMMON = "net.ifnames=0"
_WIRED = "[Match]\nType=ether\n\n[Network]\nDHCP=yes\nKeepConfiguration=yes\n\n[DHCPv4]\nClientIdentifier=mac\n"
_TABLE = CACHE / "grounds.md"
_HEAD = (
    "suite", "generator", "kernel", "systemd", "runtime", "initramfs without", "lean", "second node from neighbours",
    "one card", "no carrier", "dead DHCP", "useless DHCP", "BOOTIF=", "ip= fixed", "kernel update",
)  # fmt: skip


@dataclass(slots=True)
class Bench:
    """A ground, a LAN with a seeder of each release on it, and what was seen."""

    ground: Ground
    lan: Lan
    seen: dict[str, str] = field(default_factory=dict)

    def boot(self, name: str, *arguments: str, **more: Any) -> AbstractContextManager[Machine]:
        """Return a machine of the suite's own root to power on for a block, `name` unlike any other's on the LAN."""
        cmdline = " ".join((_COMMON, f"swarmboot.server=https://{NAME}:{_FULL_PORT}", *arguments))
        return self._booting(name, cmdline, **more)

    def boot_tiny(
        self, name: str, *arguments: str, cards: tuple[str, ...] = ("rack",), **more: Any
    ) -> AbstractContextManager[Machine]:
        """Return a machine whose root is next to nothing, with PLUGINS plugins, to power on for a block."""
        server = f"swarmboot.server=https://{NAME}:{_TINY_PORT}"
        cmdline = " ".join((_COMMON, server, "init=/sbin/init", *arguments))
        return self._booting(name, cmdline, cards=cards, **more)

    def _booting(self, name: str, cmdline: str, **more: Any) -> AbstractContextManager[Machine]:
        """Return it on its own clock: on a busy host's, systemd gives up on what waits only for a processor."""
        given: dict[str, Any] = {
            "kernel": self.ground.kernel, "initramfs": self.ground.initramfs, "memory": "1024", "more": OWN_CLOCK,
        }  # fmt: skip
        return booting(self.lan, name, cmdline=cmdline, **(given | more))

    def seeder_said(self) -> str:
        """Return the log of the seeder that serves the suite's own root."""
        return (self.lan.work / f"seeder-{_FULL_PORT}.log").read_text()

    def leases_of(self, mac: str) -> set[str]:
        """Return the addresses that the LAN's DHCP server has given to a card."""
        lines = [line.split() for line in (self.lan.work / "leases").read_text().splitlines()]
        return {words[2] for words in lines if len(words) == 5 and words[1] == mac}


@contextmanager
def open_bench(ground: Ground, work: Path) -> Iterator[Bench]:
    """Publish both releases and serve them on a LAN of this ground's own; at the end, add its row to the table."""
    fleet = images.fleet()
    for name, write in (("full", _write_full), ("tiny", _write_tiny)):
        (work / name).mkdir(parents=True)
        write(work / name / "release", ground)
        images.publish(work / name / "release", site=work / name / "site", keys=fleet.keys)
    with open_lan(work / "lan", names={mac_of(name): called for name, called in DHCP_NAMES.items()}) as lan:
        lan.add_other()
        for name, port in (("full", _FULL_PORT), ("tiny", _TINY_PORT)):
            lan.serve(work / name / "site", state=fleet.state(work / name / "state"), port=port, uplink=_UPLINK)
        bench = Bench(ground, lan)
        yield bench
        if bench.seen:
            _add_row(bench)


def _write_full(release: Path, ground: Ground) -> None:
    """Make a release of the suite's own root, with a marker and a network that asks for one lease a card."""
    marker = release.parent / "marker"
    images.write_marker(marker)
    for name, text in {
        "etc/hello.conf": 'HELLO="booted by a rack"\n',
        "etc/machine-id": "",
        "etc/hostname": "node\n",
        "etc/systemd/network/80-wired.network": _WIRED,
    }.items():
        (marker / name).parent.mkdir(parents=True, exist_ok=True)
        (marker / name).write_text(text)
    unit = "systemd-networkd.service"
    (marker / "etc/systemd/system/multi-user.target.wants" / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")
    (release / "plugins").mkdir(parents=True)
    (release / "rootfs.squashfs").hardlink_to(ground.root_image)
    roots.pack_plain(marker, release / "plugins/20-marker.squashfs")


def _write_tiny(release: Path, _ground: Ground) -> None:
    """Make a release of twelve squashfs plugins over next to nothing, its image ending within a piece and a block."""
    (release / "plugins").mkdir(parents=True)
    image = release / "rootfs.squashfs"
    roots.write_tiny_root(image, work=release.parent / "tree", padding_bytes=_PADDING_BYTES)
    with image.open("ab") as file:
        file.write(Random(5).randbytes(_ODD_BYTES))
    for number in range(PLUGINS):
        tree = release.parent / f"plugin-{number}"
        (tree / "opt/plugins").mkdir(parents=True)
        (tree / f"opt/plugins/{number}").write_text(f"{number}\n")
        roots.pack_plain(tree, release / f"plugins/{number + 10}-plugin-with-a-name.squashfs")


def after_s(machine: Machine, what: str = READY) -> float:
    """Return when the node said so of ADDRESS or READY, by its own clock, in seconds since its kernel started."""
    said = re.compile(rf"{what} after ([0-9.]+) s")
    machine.wait_for(said.pattern, within_s=BOOT_S)
    found = said.search(machine.console)
    assert found is not None
    return float(found[1])


def share_from_neighbours(machine: Machine) -> float:
    """Return the part of its bytes that a booted machine had from neighbours."""
    source = json.loads(machine.marks()["report"])["bytes_from"]
    return float(source["neighbours"] / (source["neighbours"] + source["origin"]))


def _add_row(bench: Bench) -> None:
    """Write the ground's row into .cache/vm/grounds.md, in place of an older one.

    What was not looked at this time stays as it was seen last with these versions.
    """
    facts, ground = bench.ground.facts, bench.ground
    generator = f"{ground.generator} {facts[f'{ground.generator}-core']}"
    sizes = [f"{int(facts[name]) / 1e6:.2f} MB" for name in ("runtime", "without", "with")]
    versions = [ground.suite, generator, facts["kernel"], facts["systemd"]]
    old = [line.strip("| ").split(" | ") for line in _TABLE.read_text().splitlines()[2:]] if _TABLE.exists() else []
    before = next((row for row in old if row[:4] == versions), [])
    seen = dict(zip(_HEAD[7:], before[7:], strict=False)) | bench.seen
    rows = [row for row in old if (row[0], row[1].split()[0]) != (ground.suite, ground.generator)]
    rows.append([*versions, *sizes, *(seen.get(name, "-") for name in _HEAD[7:])])
    lines = [f"| {' | '.join(row)} |" for row in sorted(rows)]
    head = [f"| {' | '.join(_HEAD)} |", "|" + "---|" * len(_HEAD)]
    _TABLE.write_text("\n".join((*head, *lines)) + "\n")
