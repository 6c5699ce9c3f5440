"""How soon emulated machines are up, in turns with another tree, as root.

    python -m tests.bench.vm_turns three --rounds 3 --against /srv/before
    python -m tests.bench.vm_turns alone --generator dracut --against /srv/before

`three` are bare machines without disks, all switched on at once on a LAN of their own, one `swarmboot serve --pxe` with
`--stage0-trust lan` and a real Debian: when the first, the second and the third were at a login, in seconds after the
power button. `alone` is one machine whose kernel and initramfs QEMU loads: when its root was ready, in seconds after
its kernel's start. With another tree, which needs its own .venv and its own .cache, in turns with that, and the ratio
of the medians (of the last machine's). Emulation is slow: minutes a boot, on a machine with nothing else to do.
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

EMULATED = "init_on_alloc=0 norandmaps"
"""Kernel arguments of both trees: as `EMULATED` in tests/system/vm/machine.py, which earlier ones have not all."""
MACHINES = 3
BOUND_S = 1200.0


def boot_three(uplink: str, generator: str) -> list[float]:
    """Return when each of the machines was at its end, sorted, in seconds after they were switched on."""
    del generator  # what a Debian of its own has
    from tests.support.waiting import wait_until
    from tests.system.vm import machine as vm

    vm.EMULATED = EMULATED  # before those that take it over
    from tests.system.bare.rack import RANGE, bare_rack
    from tests.system.boot.test_bare_rack import END, publish_debian
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


def boot_alone(uplink: str, generator: str) -> list[float]:
    """Return when one machine's root was ready, in seconds after its kernel's start, by its own clock."""
    from tests.system.vm import images
    from tests.system.vm.lan import NAME, open_lan
    from tests.system.vm.machine import booting

    with tempfile.TemporaryDirectory(prefix="swarmboot-bench-", dir="/var/tmp") as name, ExitStack() as stack:
        work, fleet, initramfs = Path(name), images.fleet(), images.initramfs(generator)
        images.publish(images.write_release(work / "release", is_whole=True), site=work / "site", keys=fleet.keys)
        lan = stack.enter_context(open_lan(work / "lan"))
        lan.serve(work / "site", state=fleet.state(work / "state"), uplink=uplink)
        kernel, words = images.debian_kernel().image, f"swarmboot.server=https://{NAME}:8470 {EMULATED}"
        machine = stack.enter_context(booting(lan, "alone", kernel=kernel, initramfs=initramfs, cmdline=words))
        machine.wait_for("the root is ready after", within_s=BOUND_S)
        return [float(machine.console.partition("the root is ready after ")[2].split()[0])]


BOOTS = {"three": boot_three, "alone": boot_alone}


def boot_in(tree: Path, what: str, uplink: str, generator: str) -> list[float]:
    """Return the same of another checkout: this file run by its Python, with its modules."""
    command = (
        str(tree / ".venv/bin/python"), "-P", __file__, what, "--once", "--uplink", uplink, "--generator", generator,
    )  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Boot in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=BOOTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--uplink", default="100mbit")
    parser.add_argument("--generator", default="initramfs-tools", choices=("initramfs-tools", "dracut"))
    parser.add_argument("--once", action="store_true", help="Print one boot's seconds as JSON.")
    given = parser.parse_args()
    if given.once:
        print(json.dumps(BOOTS[given.what](given.uplink, given.generator)))
        return
    here = Path(__file__).resolve().parents[2]
    trees = {"here": here} | ({"there": given.against.resolve()} if given.against else {})
    last_s: dict[str, list[float]] = {name: [] for name in trees}
    for _ in range(given.rounds):
        for name, tree in trees.items():
            ends_s = boot_in(tree, given.what, given.uplink, given.generator)
            last_s[name].append(ends_s[-1])
            print(name, *ends_s, flush=True)
    if given.against:
        print(f"ratio {median(last_s['here']) / median(last_s['there']):.2f}")


if __name__ == "__main__":
    main()
