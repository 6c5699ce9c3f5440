"""A machine with a large root, before it is whole and after: `python -m tests.bench.lazy_vm --size 1GiB`, as root.

Boots a virtual machine (emulated, without a disk) three times from a real Debian that a file of random bytes makes as
large as `--size`, from a seeder with `--uplink`: lazy without a trace, from which the trace is taken; lazy with it; and
not lazy. Prints the seconds from the kernel's start to multi-user.target, by the machine's own clock, and the ratio of
the last two; exits with 1 if that is above 0.4. Emulation is slow: half an hour, on a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from swarmboot.text.units import format_size, parse_size
from tests.system.vm.lazy import lazy_machine, padded_release

MOST = 0.4
_BOUND_S = 3000.0
_UP = """say up "$(cut -d' ' -f1 /proc/uptime)"
"""
_TRACE = "/run/swarmboot/images/trace"
_TELL_TRACE = f"""while [ ! -e {_TRACE} ]; do sleep 1; done
sed 's/^/trace: /' {_TRACE} >/dev/console
"""


def seconds_up(
    folder: Path,
    release: Path,
    *,
    uplink: str,
    cmdline: str = "",
    publish: Sequence[str] = (),
    trace: Path | None = None,
) -> float:
    """Boot once and return the seconds to multi-user.target; leave at `trace` what was read until all was there."""
    folder.mkdir()
    memory = str((3 * (release / "rootfs.squashfs").stat().st_size >> 20) + 700)
    with lazy_machine(
        folder, release, uplink=uplink, memory=memory, cmdline=cmdline, publish=("--force", *publish)
    ) as machine:
        machine.wait_for("marker: root" if trace else "marker: up", within_s=_BOUND_S)
        if trace:
            trace.write_text("".join(f"{line}\n" for line in re.findall(r"trace: (\S+ \d+ \d+)", machine.console)))
        return float(machine.marks()["up"])


def main() -> None:
    """Boot three times, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=parse_size, default=parse_size("1GiB"))
    parser.add_argument("--uplink", default="100mbit")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swarmboot-bench-", dir="/var/tmp") as name:
        work, trace, uplink = Path(name), Path(name) / "trace", given.uplink
        release = padded_release(work / "release", given.size, first=_UP + _TELL_TRACE)
        untraced_s = seconds_up(work / "first", release, uplink=uplink, trace=trace)
        print(f"{format_size(given.size)} at {uplink}: lazy without a trace {untraced_s:.1f} s", flush=True)
        lazy_s = seconds_up(work / "lazy", release, uplink=uplink, publish=("--trace", str(trace)))
        print(f"lazy with a trace of {len(trace.read_text().splitlines())} reads {lazy_s:.1f} s", flush=True)
        whole_s = seconds_up(work / "whole", release, uplink=uplink, cmdline="swarmboot.lazy=off")
    print(f"not lazy {whole_s:.1f} s; ratio {lazy_s / whole_s:.2f}, at most {MOST:g}")
    sys.exit(lazy_s / whole_s > MOST)


if __name__ == "__main__":
    main()
