"""`make demo-vm`: two machines without disks boot side by side; at the end, where bytes and seconds came from.

Run as root. It uses what the tests of real boots use, and leaves nothing running.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from swarmboot.wire.report import PHASES
from tests.system.vm import images
from tests.system.vm.lan import NAME, open_lan
from tests.system.vm.machine import Machine, booting

_END = "marker: end of it"
_SHOWN = re.compile(r"MiB of|swarmboot:|login:|Welcome to|Run /init|marker: (root|plugin|seed)")
_INIT = re.compile(r"\[ *([0-9.]+)\] Run /init")
_READY = re.compile(r"the root is ready after ([0-9.]+) s")
_BOUND_S = 420.0
_UPLINK = "50mbit"


def _show(machines: list[Machine]) -> None:
    """Print what is worth reading of both consoles until both have booted; raises AssertionError if they do not."""
    shown = [0] * len(machines)
    deadline_s = time.monotonic() + _BOUND_S
    while not all(_END in machine.console for machine in machines):
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not booted within {_BOUND_S:.0f} s")
        for index, machine in enumerate(machines):
            for at_s, line in machine.lines[shown[index] :]:
                shown[index] += 1
                if _SHOWN.search(line):
                    print(f"{machine.name} {at_s:6.1f} s  {line.strip()[:120]}", flush=True)
        time.sleep(0.2)


def _table(machines: list[Machine]) -> str:
    rows = [f"{'':10}{'from neighbours':>18}{'from the origin':>18}{'root ready':>12}"]
    for machine in machines:
        source = json.loads(machine.marks()["report"])["bytes_from"]
        ready_s = machine.wait_for("the root is ready after", within_s=1)
        neighbours, origin = (f"{source[name] / 1e6:.1f} MB" for name in ("neighbours", "origin"))
        rows.append(f"{machine.name:10}{neighbours:>18}{origin:>18}{ready_s:>10.1f} s")
    return "\n".join(rows)


def _phases(machine: Machine) -> dict[str, float]:
    """Return the seconds from the kernel's start to the end of switch_root, in order."""
    reported: dict[str, float] = json.loads(machine.marks()["report"])["phases"]
    measured = {name: reported[name] for name in PHASES if name in reported}
    init = next(float(match[1]) for _, line in machine.lines if (match := _INIT.search(line)))
    ready_at_s, ready = next((at_s, float(match[1])) for at_s, line in machine.lines if (match := _READY.search(line)))
    welcome_at_s = next(at_s for at_s, line in machine.lines if "Welcome to" in line and at_s > ready_at_s)
    set_up = ready - init - sum(measured.values())
    return {"kernel": init, "initramfs": set_up, **measured, "switch_root": welcome_at_s - ready_at_s}


def _phase_table(machines: list[Machine]) -> str:
    """Return a row a phase: `initramfs` is drivers, network and mounts, all that the leecher does not count."""
    columns = [_phases(machine) for machine in machines]
    rows = [f"{'seconds':16}" + "".join(f"{machine.name:>12}" for machine in machines)]
    rows += [f"{name:16}" + "".join(f"{column[name]:12.2f}" for column in columns) for name in columns[0]]
    rows.append(f"{'in all':16}" + "".join(f"{sum(column.values()):12.2f}" for column in columns))
    return "\n".join(rows)


def main() -> None:
    """Build what is missing, boot two machines, and print the table."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="swarmboot-demo-vm.")))
        print("building kernel, runtime and initramfs: a minute, once", flush=True)
        kernel, fleet, initramfs = images.debian_kernel(), images.fleet(), images.initramfs()
        release = images.write_release(work / "release", is_whole=True)
        size_mib = (release / "rootfs.squashfs").stat().st_size >> 20
        images.publish(release, site=work / "site", keys=fleet.keys)
        lan = stack.enter_context(open_lan(work / "lan"))
        lan.serve(work / "site", state=fleet.state(work / "state"), uplink=_UPLINK)
        print(
            f"serving a Debian of {size_mib} MiB over an uplink of {_UPLINK}, as emulated machines are slow too",
            flush=True,
        )
        argument = f"swarmboot.server=https://{NAME}:8470"
        print(f"powering on two machines with {argument}", flush=True)
        machines = [
            stack.enter_context(booting(lan, f"machine{n}", kernel=kernel.image, initramfs=initramfs, cmdline=argument))
            for n in (1, 2)
        ]
        _show(machines)
        print(f"\n{_table(machines)}\n\n{_phase_table(machines)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
