"""What a node's leecher and its neighbour afterwards take of memory, on loopback, as they run from runtime images.

    python -m tests.bench.node_memory RUNTIME...

RUNTIME is what `swarmboot hook build-runtime --out` wrote, or a folder with such a tree; of several, as of one from
before a change and one from after it, each is measured in turn. Publishes a root image of 60 MB, boots it from a seeder
beside it, and starts the neighbour of a booted system with what that has left. Prints a Markdown table of
/proc/PID/status (proc(5)), in MB of a million bytes: memory of its own (RssAnon) at most and in the end, and pages of
files that others share and the kernel may drop (RssFile). As root.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.loopback import Fleet, Seeder, build_fleet, build_release, serving
from tests.support.seed import lay_out, memory_bytes

_SIZE_BYTES = 60_000_000
_SETTLED_S = 12.0
_LOOK_S = 0.02
_RUN = """
if [ -d "$1" ]; then mount --bind "$1" "$2"; else mount -t squashfs -o loop,ro "$1" "$2"; fi
mount --bind "$3" "$2/run/swarmboot" && mount --bind /dev "$2/dev" && mount -t proc proc "$2/proc" || exit 1
root=$2
shift 3
exec chroot "$root" /usr/bin/python3 -I -S -B -m "$@"
"""


def measured(runtime: Path, state: Path, *program: str) -> str:
    """Run a program of a runtime image for `_SETTLED_S`; return its cells of the table."""
    with tempfile.TemporaryDirectory() as mounted:
        command = ("unshare", "--mount", "sh", "-c", _RUN, "sh", str(runtime), mounted, str(state), *program)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            most_bytes, ends_s = 0, time.monotonic() + _SETTLED_S
            while time.monotonic() < ends_s:
                most_bytes = max(most_bytes, own_bytes := memory_bytes(process.pid, "RssAnon"))
                time.sleep(_LOOK_S)
            found = (most_bytes, own_bytes, memory_bytes(process.pid, "RssFile"))
        finally:
            process.terminate()
            process.wait()
    return " | ".join(f"{each / 1e6:.1f} MB" for each in found)


def measure(runtime: Path, state: Path, fleet: Fleet, seeder: Seeder) -> None:
    """Print the rows of one runtime image."""
    lay_out(state, fleet, seeder, None, bind="127.0.0.2", seen_at=Path("/etc/swarmboot"), log="on")
    listed = runtime.with_suffix(".libraries")
    (state / "lib").mkdir()
    for library in listed.read_text().split() if listed.is_file() else ():
        shutil.copy(library, state / "lib")
    etc = "/etc/swarmboot"
    asking = ("--server", seeder.address, "--trust", f"{etc}/trust.pub", "--ca", f"{etc}/ca.pem", "--bind", "127.0.0.2")
    into = ("--into", "/run/swarmboot/images", "--reserve", "0", "--progress", "none", "--linger")
    leecher = measured(runtime, state, "leecher", *asking, *into)
    print(f"| {runtime.name}: a leecher, done fetching | {leecher} |", flush=True)
    seed = measured(runtime, state, "leecher.initramfs", "seed")
    print(f"| {runtime.name}: the neighbour in the booted system | {seed} |", flush=True)


def main() -> None:
    """Measure and print the table."""
    print("| | its own, at most | its own | of files |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        work.chmod(0o755)
        fleet = build_fleet(work, build_release(work / "release", size_bytes=_SIZE_BYTES))
        with serving(fleet) as seeder:
            for number, runtime in enumerate(sys.argv[1:]):
                measure(Path(runtime), work / f"state{number}", fleet, seeder)


if __name__ == "__main__":
    main()
