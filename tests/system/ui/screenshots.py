"""`make screenshots`: the live page as a rack boots, on a real seeder, as the images in docs/images.

Each simulated node announces, fetches its share from the seeder for real, reports, and some fail.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from PIL import Image
from selenium.webdriver.common.keys import Keys

from tests.support.browser import Browser, browsing
from tests.support.loopback import build_fleet, build_release, serving
from tests.support.racks.simulated_fleet import SimulatedFleet, SimulatedNode, build_nodes
from tests.support.terminal import as_page, shown

NODES, BOOT_S, LAST_S = 320, 9.0, 14.5
TICK_S = 0.5
COLOURS = 128
NETWORK, SERVER, STATE = "10.1", "10.0.0.1", "state"
ADDRESS_OF_INTEREST = f"{NETWORK}.2.13"
_INSIDE = "SCREENSHOTS_INSIDE"
FAILURES = {
    17: ("the images need 2.1 GB, and this machine has 1.0 GB", 61),
    93: ("10.1.3.7 does not answer within 30 s", 24),
    188: ("setting swarmboot.rack is malformed: expected a name, found 'r 5'", 42),
}


@dataclass(slots=True)
class Plan:
    """When a node starts and how fast it is."""

    node: SimulatedNode
    start_s: float
    takes_s: float
    is_told: bool = False

    def step(self, simulated: SimulatedFleet, now_s: float) -> None:
        """Do what is due."""
        have = max(0.0, (now_s - self.start_s) / self.takes_s)
        if self.node.number in FAILURES and have > 0.4:
            if not self.is_told:
                simulated.failed(self.node, *FAILURES[self.node.number])
                self.is_told = True
        elif have >= 1.0:
            if not self.is_told:
                simulated.verified(self.node, self.takes_s)
                self.is_told = True
            elif have > 1.0 + 2.0 / self.takes_s and self.node.have == 1.0:
                simulated.booted(self.node)
                self.node.have = 1.001  # told
        elif have > 0.0:
            gained = have - self.node.have
            self.node.have = have
            simulated.announce(self.node)
            simulated.fetch(self.node, int(gained * self.node.from_origin * simulated.size_bytes) + 1)


def build_plans(random: Random) -> list[Plan]:
    """Return how each node boots: racks one after the other, nodes a little apart."""
    plans = []
    for node in build_nodes(NODES, network=NETWORK):
        rack = (node.number - 1) // 40
        node = replace(
            node, from_origin=random.choice((0.0, 0.0, 0.0, 0.01, 0.02)) + (0.2 if random.random() < 0.02 else 0)
        )
        plans.append(Plan(node, rack * 0.9 + random.uniform(0.5, 4.0), BOOT_S * random.uniform(0.7, 1.2)))
    return plans


def keep(image: bytes, path: Path) -> None:
    """Write a picture in few colours."""
    shot = Image.open(io.BytesIO(image)).convert("RGB")
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def keep_window(browser: Browser, path: Path) -> None:
    """Write what the window shows."""
    keep(browser.driver.get_screenshot_as_png(), path)


def shoot(browser: Browser, address: str, into: Path) -> None:
    """Write all images of the page at this moment."""
    browser.look(height=1060, dark=True)
    time.sleep(1.2)
    keep_window(browser, into / "ui-dark.png")
    browser.look(height=1060)
    time.sleep(0.6)
    keep_window(browser, into / "ui-light.png")
    browser.script("document.querySelector('#trouble-list button').click()")
    browser.until("document.querySelector('#story[open] .falls')")
    time.sleep(0.6)
    keep_window(browser, into / "ui-node.png")
    browser.press(Keys.ESCAPE)
    browser.look(width=390, height=844, scale=2, dark=True)
    browser.open(f"{address}/ui/")
    browser.until("document.querySelectorAll('.rack .cell').length > 100")
    time.sleep(1.5)
    keep_window(browser, into / "ui-phone.png")


def shoot_terminal(browser: Browser, into: Path) -> None:
    """Write what two of the verbs say on a terminal."""
    browser.look(width=1000, height=1000)
    for name, words, columns in (("status", ("status",), 110), ("why", ("why", ADDRESS_OF_INTEREST), 80)):
        said = shown((sys.executable, "-m", "swarmboot", *words, "--state", STATE), columns=columns)
        browser.open(as_page(f"swarmboot {' '.join(words)}", said.rstrip("\n")))
        keep(browser.driver.find_element("tag name", "pre").screenshot_as_png, into / f"terminal-{name}.png")


def boot(simulated: SimulatedFleet) -> None:
    """Boot the rack on paper, half-way."""
    plans, start_s = build_plans(Random(7)), time.monotonic()
    simulated.ask(f"{NETWORK}.9.1", "GET", "/channels/edgy.swarm")
    while (now_s := time.monotonic() - start_s) < LAST_S:
        for plan in plans:
            plan.step(simulated, now_s)
        time.sleep(max(0.0, now_s + TICK_S - (time.monotonic() - start_s)))


def main(into: Path) -> None:
    """Boot the rack on paper and take its picture half-way, from a folder whose names can be shown to people."""
    into = into.absolute()
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="swarmboot-") as folder, chdir(folder):
        fleet = build_fleet(Path(), build_release(Path("debian-13"), size_bytes=48_000_000))
        with (
            serving(fleet, "--listen", f"{SERVER}:8470", "--uplink", "200mbit") as seeder,
            SimulatedFleet(seeder, fleet) as simulated,
            browsing(host=SERVER) as browser,
        ):
            browser.look()
            browser.open(f"{seeder.address}/ui/")
            boot(simulated)
            shoot(browser, seeder.address, into)
            shoot_terminal(browser, into)


def in_own_network() -> None:
    """Begin again in a network namespace in which a whole hall's addresses are this machine's own."""
    lay_out = 'ip link set lo up && ip route add local 10.0.0.0/8 dev lo && exec "$@"'
    own = ("unshare", "--user", "--map-root-user", "--net", "sh", "-ec", lay_out, "sh")
    os.environ[_INSIDE] = "1"
    os.execvp(own[0], (*own, sys.executable, "-m", "tests.system.ui.screenshots", *sys.argv[1:]))


if __name__ == "__main__":
    if _INSIDE not in os.environ:
        in_own_network()
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
