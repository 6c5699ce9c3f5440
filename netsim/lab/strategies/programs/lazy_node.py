"""One node of the lab that reads its images while they arrive: `FOLDER READY TRACE COMMAND...`, as root.

Mounts FUSE, starts COMMAND below the server of reads, mounts what can be read, replays TRACE, and leaves in READY when
it had read all of it. It needs a mount namespace of its own, which takes the mounts with it. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_LOOK_S = 0.01
_OPTIONS = "ro,rootmode=40000,user_id=0,group_id=0,allow_other,fd="
_MAGIC = b"hsqs"
RECORD = "record:"
"""Before a path in place of TRACE: there is none yet, and this is where to leave one."""
_PROGRAM_BOUND_S = 20
_PROGRAMS = (
    ("/lib/systemd/systemd", "--test", "--system"),
    *((program, "--version") for program in (
        "/lib/systemd/systemd-journald", "/lib/systemd/systemd-udevd", "/lib/systemd/systemd-networkd",
        "/lib/systemd/systemd-logind", "/lib/systemd/systemd-resolved", "/lib/systemd/systemd-timesyncd",
        "/bin/systemctl", "/bin/systemd-tmpfiles", "/bin/networkctl", "/bin/dbus-daemon", "/bin/kmod", "/bin/mount",
        "/sbin/agetty", "/bin/login", "/bin/bash",
    )),
    ("/bin/sh", "-c", "cat /etc/* /lib/systemd/system/*.service /lib/systemd/system/*.target /lib/udev/rules.d/*"),
)  # fmt: skip
"""What a boot of a Debian starts and reads, as far as that can be had without booting it."""


def start(mount: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """Mount FUSE, and start a fetcher below its server."""
    mount.mkdir()
    fuse = os.open("/dev/fuse", os.O_RDWR)
    try:
        subprocess.run(
            ["mount", "-i", "-t", "fuse", "-o", f"{_OPTIONS}{fuse}", "swarmboot-lazy", str(mount)],
            pass_fds=[fuse],
            check=True,
        )
        server = [sys.executable, "-S", "-m", "leecher.lazy", str(fuse), str(mount), *command]
        return subprocess.Popen(server, pass_fds=[fuse])
    finally:
        os.close(fuse)


def wait_for_devices(folder: Path, server: subprocess.Popen[bytes]) -> dict[str, str]:
    """Return the devices by image once they can be read; end with the server if that ends before."""
    path = folder / "lazy.json"
    while not path.exists():
        if server.poll() is not None:
            sys.exit(server.returncode or 1)
        time.sleep(_LOOK_S)
    devices: dict[str, str] = json.loads(path.read_text())["devices"]
    return devices


def mount_layers(devices: dict[str, str], below: Path) -> list[Path]:
    """Mount every image that is a squashfs, as an initramfs does, and return where."""
    layers = []
    for number, device in enumerate(devices.values()):
        with Path(device).open("rb", buffering=0) as image:
            is_squashfs = image.read(512)[:4] == _MAGIC
        layer = below / str(number)
        layer.mkdir(parents=True)
        if is_squashfs:
            subprocess.run(["mount", "-t", "squashfs", "-o", "ro", device, str(layer)], check=False)
            layers.append(layer)
        subprocess.run(["losetup", "-d", device], check=False)  # of one in use it means: once it no longer is

    return layers


def record(layers: list[Path], folder: Path, trace: Path) -> None:
    """Start programs of a boot from the root, wait until all is there, and keep the trace that the leecher leaves."""
    for program in _PROGRAMS:
        command = ["chroot", str(layers[0]), *program]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_PROGRAM_BOUND_S)
    while not (folder / "trace").exists():
        time.sleep(_LOOK_S)
    shutil.copy(folder / "trace", trace.with_suffix(".new"))
    trace.with_suffix(".new").rename(trace)


def write_ready(ready: Path, began_s: float) -> None:
    """Say that all was read now that was to be, from `began_s` on."""
    times = {"began_unix_s": began_s, "ready_unix_s": time.time()}
    ready.with_suffix(".new").write_text(json.dumps(times))
    ready.with_suffix(".new").rename(ready)


def reads_of(trace: Path) -> Iterator[tuple[str, int, int]]:
    """Yield a trace's reads: image, first byte and bytes."""
    for line in trace.read_text().splitlines():
        if line and not line.startswith("#"):
            name, first, size = line.split()
            yield name, int(first), int(size)


def replay(trace: Path, devices: dict[str, str]) -> None:
    """Read what a boot reads, in order."""
    images = {name: os.open(device, os.O_RDONLY) for name, device in devices.items()}
    for image in images.values():  # as squashfs does, which reads no block but those that it needs
        os.posix_fadvise(image, 0, 0, os.POSIX_FADV_RANDOM)
    for name, first_byte, size_bytes in reads_of(trace):
        end_byte = first_byte + size_bytes
        while first_byte < end_byte and (got := os.pread(images[name], end_byte - first_byte, first_byte)):
            first_byte += len(got)
    for image in images.values():
        os.close(image)


def main() -> None:
    """Be one node until the fetcher ends."""
    folder, ready, trace = map(Path, sys.argv[1:4])
    mount = folder.with_name(f"{folder.name}.fuse")
    server = start(mount, sys.argv[4:])
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    devices = wait_for_devices(folder, server)
    began_s = time.time()
    subprocess.run(["umount", "-l", str(mount)], check=True)
    layers = mount_layers(devices, folder.with_name(f"{folder.name}.layers"))
    if sys.argv[3].startswith(RECORD):
        record(layers, folder, Path(sys.argv[3].removeprefix(RECORD)))
    elif sys.argv[3]:
        replay(trace, devices)
    write_ready(ready, began_s)
    sys.exit(server.wait())


if __name__ == "__main__":
    main()
