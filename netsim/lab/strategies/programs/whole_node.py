"""One node of the lab that reads what a boot reads once all is there: `FOLDER READY TRACE IMAGE COMMAND...`, as root.

Starts COMMAND, waits until IMAGE has its name in FOLDER, mounts it, replays TRACE, and leaves in READY when it had read
all of it: what `lazy_node` does of images that still arrive. It needs a mount namespace of its own.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from netsim.lab.strategies.programs.lazy_node import mount_layers, replay, write_ready

_LOOK_S = 0.01


def main() -> None:
    """Be one node until the fetcher ends."""
    folder, ready, trace = map(Path, sys.argv[1:4])
    image = folder / sys.argv[4]
    fetcher = subprocess.Popen(sys.argv[5:])
    signal.signal(signal.SIGTERM, lambda *_: fetcher.terminate())
    while not image.exists():
        if fetcher.poll() is not None:
            sys.exit(fetcher.returncode or 1)
        time.sleep(_LOOK_S)
    began_s = time.time()
    attached = subprocess.run(
        ["losetup", "-r", "-f", "--direct-io=on", "--show", str(image)], capture_output=True, text=True, check=True
    )
    devices = {image.name: attached.stdout.strip()}
    layers = mount_layers(devices, folder.with_name(f"{folder.name}.layers"))
    replay(trace, devices)
    write_ready(ready, began_s)
    status = fetcher.wait()
    for layer in layers:
        subprocess.run(["umount", "-l", str(layer)], check=False)
    sys.exit(status)


if __name__ == "__main__":
    main()
