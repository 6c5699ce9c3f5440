"""A LAN for bare machines: a bridge in a namespace of the test's own, `swarmboot serve --pxe`, QEMU with firmware.

The machines are given a network card and nothing else: no disk, no kernel. Everything ends with the block.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from seeder.authority import issue_certificate
from seeder.stage0_node import node_image
from tests.system.vm.lan import wait_for_namespace
from tests.system.vm.machine import Machine
from tests.system.vm.programs import BOUND_TO_US, PATH, SWARMBOOT, run, running

ADDRESS = "10.98.0.1"
RANGE = "10.98.0.100,10.98.0.200"
OVMF = Path("/usr/share/OVMF")
MARKER = "stage0-marker:"
_INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
echo "{MARKER} cmdline $(/bin/busybox cat /proc/cmdline)"
echo "{MARKER} rack $(/bin/busybox cat /etc/rack)"
echo "{MARKER} end"
/bin/busybox poweroff -f
"""
T = TypeVar("T")


def _libraries(program: str) -> list[str]:
    """Return the shared libraries of a program, none of a static one."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", said)


@contextmanager
def other_network(rack: BareRack) -> Iterator[tuple[str, ...]]:
    """Plug one more host into the LAN and return what to put before a command to run there."""
    with running("unshare", "--net", "--", *BOUND_TO_US, "sleep", "infinity", log=rack.work / "other.log") as keeper:
        wait_for_namespace(keeper.pid)
        rack.ip(f"link add other type veth peer name eth0 netns {keeper.pid}")
        rack.ip("link set other master rack up")
        inside = ("nsenter", "--net", "--target", str(keeper.pid), "--")
        run(*inside, "ip", "address", "add", "10.98.0.9/24", "dev", "eth0")
        run(*inside, "ip", "link", "set", "eth0", "up")
        yield inside


def eventually(look: Callable[[], T | None], *, within_s: float = 60.0) -> T:
    """Return what `look` finds as soon as it finds something."""
    deadline_s = time.monotonic() + within_s
    while (found := look()) is None:
        assert time.monotonic() < deadline_s, "what was waited for does not happen"
        time.sleep(0.1)
    return found


def tiny_initramfs(*, padding_bytes: int = 0) -> bytes:
    """Return an initramfs that says on the console what started it, and ends."""
    files = {"init": (0o755, _INIT.encode())}
    for path in ("/bin/busybox", *_libraries("/bin/busybox")):
        files[path.lstrip("/")] = (0o755, Path(path).read_bytes())
    files |= {f"{folder}/.keep": (0o644, b"") for folder in ("proc", "dev")}
    files["padding"] = (0o644, Random(1).randbytes(padding_bytes))
    return gzip.compress(node_image(files), compresslevel=1)


@dataclass(slots=True)
class BareRack:
    """The LAN while its context is open."""

    pid: int
    work: Path
    stack: ExitStack
    machines: int = 0

    @property
    def inside(self) -> tuple[str, ...]:
        """Return what to put before a command, so that it runs on this LAN."""
        return ("nsenter", "--net", "--target", str(self.pid), "--")

    def ip(self, arguments: str) -> None:
        """Run ip(8) on this LAN."""
        run(*self.inside, "ip", *arguments.split())

    @property
    def log(self) -> list[str]:
        """Return what the seeder has said so far."""
        return (self.work / "seeder.log").read_text(errors="replace").splitlines()

    def serve(self, site: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a seeder and return it once it serves stage 0."""
        seeder = self.stack.enter_context(
            running(
                *self.inside, *SWARMBOOT, "serve", str(site), "--listen", f"{ADDRESS}:8470", "--uplink", "1gbit",
                "--state", str(self.work / "state"), *arguments, log=self.work / "seeder.log",
            )
        )  # fmt: skip
        eventually(lambda: next((line for line in self.log if line.startswith("stage 0: manifest")), None))
        return seeder

    def status(self) -> dict[str, Any]:
        """Return what the seeder says of itself."""
        url = f"https://{ADDRESS}:8470/status"
        found: dict[str, Any] = json.loads(run(*self.inside, "curl", "-s", "-k", url))
        return found

    def start(self, command: tuple[str, ...], name: str) -> subprocess.Popen[bytes]:
        """Run a program on this LAN until the end of the block."""
        return self.stack.enter_context(running(*self.inside, *command, log=self.work / f"{name}.log"))

    @contextmanager
    def power_on(self, name: str, *, is_uefi: bool = False, memory: str = "512") -> Iterator[Machine]:
        """Power a bare machine on for the block: SeaBIOS and the card's iPXE ROM, or OVMF's own network boot."""
        self.machines += 1
        tap = f"tap{self.machines}"
        self.ip(f"tuntap add {tap} mode tap")
        self.ip(f"link set {tap} master rack up")
        card = f"virtio-net-pci,netdev=n0,mac={mac(self.machines)},bootindex=1{',romfile=' if is_uefi else ''}"
        command = (
            *BOUND_TO_US, *self.inside, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", memory, "-display",
            "none", "-nodefaults", "-no-reboot", "-serial", "stdio", "-device", "virtio-rng-pci", "-name", name,
            "-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no", "-device", card,
            *(self._uefi(name) if is_uefi else ("-machine", "pc,graphics=off")),
        )  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": PATH},
        )  # fmt: skip
        machine = Machine(name, process, self.work / f"{name}.console", time.monotonic())
        thread = threading.Thread(target=machine.follow, daemon=True)
        thread.start()
        try:
            yield machine
        finally:
            machine.stop()
            thread.join(10)
            process.communicate()

    def _uefi(self, name: str) -> tuple[str, ...]:
        variables = self.work / f"{name}.vars.fd"
        shutil.copyfile(OVMF / "OVMF_VARS_4M.fd", variables)
        code = f"if=pflash,format=raw,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}"
        return ("-machine", "q35", "-drive", code, "-drive", f"if=pflash,format=raw,file={variables}")


def mac(number: int) -> str:
    """Return the MAC address of the machine that was powered on as number so and so, from 1."""
    return f"52:54:00:00:98:{number:02x}"


@contextmanager
def bare_rack(work: Path) -> Iterator[BareRack]:
    """Open a LAN without a DHCP server; everything on it ends with the block."""
    work.mkdir(exist_ok=True)
    with ExitStack() as stack:
        keeper = stack.enter_context(
            running("unshare", "--net", "--", *BOUND_TO_US, "sleep", "infinity", log=work / "keeper.log")
        )
        wait_for_namespace(keeper.pid)
        rack = BareRack(keeper.pid, work, stack)
        for arguments in (
            "link set lo up", "link add rack type bridge", f"address add {ADDRESS}/24 dev rack",
            "address add 10.98.0.2/24 dev rack", "address add 10.98.0.3/24 dev rack", "link set rack up",
        ):  # fmt: skip
            rack.ip(arguments)
        yield rack


def publish(work: Path, *, kernel: Path, initramfs: bytes, cmdline: str = "console=ttyS0") -> Path:
    """Publish a release whose stage 0 is this and whose root image is nothing; return the site."""
    release = work / "release"
    release.mkdir(parents=True)
    (release / "vmlinuz").hardlink_to(kernel)
    (release / "initramfs.img").write_bytes(initramfs)
    (release / "rootfs.squashfs").write_bytes(b"hsqs" + Random(2).randbytes(200_000))
    (release / "release.toml").write_text(f'name = "tiny"\ncmdline = "{cmdline}"\n')
    run(*SWARMBOOT, "keygen", "--out", str(work / "keys"))
    key = str(work / "keys" / "swarmboot.key")
    run(*SWARMBOOT, "publish", str(release), "--site", str(work / "site"), "--key", key)
    return work / "site"


def issue_authority(rack: BareRack) -> Path:
    """Make the seeder's certificate authority before it runs, to be built into an initramfs; return its certificate."""
    return issue_certificate(rack.work / "state", [ADDRESS]).certificate.with_name("ca.pem")


def bad_neighbour(rack: BareRack, site: Path, *, fault: str, host: str = "10.98.0.2") -> None:
    """Start a node that announces that it serves stage 0, and does it as `fault` says; return once it is believed."""
    command = (
        sys.executable,
        "-m",
        "tests.system.stage0_bad_neighbour",
        str(site),
        host,
        fault,
        str(rack.work / "state"),
    )
    rack.start(command, f"bad-{host}")
    eventually(lambda: rack.status()["stage0"]["neighbours"] or None)


def https_context(state: Path) -> ssl.SSLContext:
    """Return what the seeder's certificate is checked with."""
    return ssl.create_default_context(cafile=str(state / "ca.pem"))
