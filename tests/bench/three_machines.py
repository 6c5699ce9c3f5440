"""Three bare machines from power-on to login, as root.

    python -m tests.bench.three_machines --rounds 3 --against /srv/before

Emulated machines without disks, all switched on at once on a LAN of their own, one `swarmboot serve --pxe` with
`--stage0-trust lan`, uplink `--uplink`, and a real Debian. Prints when the first, the second and the third were there,
in seconds after the power button; with another tree, which needs its own .venv, in turns with that, and the ratio of
the medians of the last machine's. Emulation is slow: minutes a boot, on a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

MACHINES = 3
BOUND_S = 1200.0


def boot(uplink: str) -> list[float]:
    """Return when each of the machines was at its end, sorted, in seconds after they were switched on."""
    from tests.support.waiting import wait_until
    from tests.system.bare.rack import RANGE, bare_rack
    from tests.system.stage0.test_debian import END, publish_debian
    from tests.system.vm import images

    with tempfile.TemporaryDirectory(prefix="swarmboot-bench-", dir="/var/tmp") as name, ExitStack() as stack:
        rack = stack.enter_context(bare_rack(Path(name) / "rack"))
        images.fleet().state(rack.work / "state")
        lan = ("--stage0-trust", "lan", "--uplink", uplink)
        rack.serve(publish_debian(Path(name), images.fleet()), "--pxe", "rack", "--dhcp-range", RANGE, *lan)
        began_s = time.monotonic()
        waiting = [stack.enter_context(rack.power_on(f"machine{number}", memory="1024")) for number in range(MACHINES)]
        ends_s: list[float] = []
        while waiting:
            machine = wait_until(
                "a login", lambda: next((each for each in waiting if END in each.console), None), within_s=BOUND_S
            )
            waiting.remove(machine)
            ends_s.append(round(time.monotonic() - began_s, 2))
        return ends_s


def boot_in(tree: Path, uplink: str) -> list[float]:
    """Return the same of another checkout: this file run by its Python, with its modules."""
    command = (str(tree / ".venv/bin/python"), __file__, "--once", "--uplink", uplink)
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Boot in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--uplink", default="100mbit")
    parser.add_argument("--once", action="store_true", help="Print one boot's seconds as JSON.")
    given = parser.parse_args()
    if given.once:
        print(json.dumps(boot(given.uplink)))
        return
    here = Path(__file__).resolve().parents[2]
    trees = {"here": here} | ({"there": given.against.resolve()} if given.against else {})
    last_s: dict[str, list[float]] = {name: [] for name in trees}
    for _ in range(given.rounds):
        for name, tree in trees.items():
            ends_s = boot_in(tree, given.uplink)
            last_s[name].append(ends_s[-1])
            print(name, *ends_s, flush=True)
    if given.against:
        print(f"ratio {median(last_s['here']) / median(last_s['there']):.2f}")


if __name__ == "__main__":
    main()
