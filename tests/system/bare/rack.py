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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest

from seeder.stage0.rack_map import node_image
from tests.support.waiting import BOUND_S, wait_for_line, wait_until
from tests.system.vm.machine import CPU, Machine
from tests.system.vm.programs import BOUND_TO_US, PATH, STAY_ROOT, SWARMBOOT, in_network, own_network, run, running

ADDRESS = "10.98.0.1"
RANGE = "10.98.0.100,10.98.0.200"
PXE = ("--pxe", "rack", "--dhcp-range", RANGE)
OVMF = Path("/usr/share/OVMF")
ARM64_FIRMWARE = Path("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd")
U_BOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
MARKER = "stage0-marker:"
BOOT_S = 150.0
needs_ovmf = pytest.mark.needs("/usr/share/OVMF/OVMF_CODE_4M.fd")
_INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec >/dev/console 2>&1
echo "{MARKER} cmdline $(/bin/busybox cat /proc/cmdline)"
echo "{MARKER} rack $(/bin/busybox cat /etc/rack)"
echo "{MARKER} end"
/bin/busybox poweroff -f
"""
ODD_WORDS = "odd=,:;.[](){}<>%@+~!*?|&^$-_/`#=x [a]* $HOME x||y $(z) f?"
QUOTED_WORD = 'two="a b"'
"""What boot scripts must carry to the kernel as it is."""

T = TypeVar("T")

# Secure Boot needs the variables out of the system's reach, in system management mode.
_MACHINES = {
    False: ("-machine", "q35"),
    True: ("-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
           "-global", "ICH9-LPC.disable_s3=1"),
}  # fmt: skip
# Firmware tries PXE before HTTP, and each over IPv4 before IPv6; what it need not try is turned off.
_NO_PXE = ("opt/org.tianocore/IPv4PXESupport", "opt/org.tianocore/IPv6PXESupport")
_UEFI_OFF = {"uefi-http": _NO_PXE, "arm64-http": _NO_PXE}
_ARM64 = {"arm64": ARM64_FIRMWARE, "arm64-http": ARM64_FIRMWARE, "u-boot": U_BOOT}


def _libraries(program: str) -> list[str]:
    """Return the shared libraries of a program, none of a static one."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", said)


@contextmanager
def other_network(rack: BareRack, *, bridge: str = "rack", address: str = "10.98.0.9") -> Iterator[tuple[str, ...]]:
    """Plug one more host into a bridge of the rack and return what to put before a command to run there."""
    with own_network(rack.work / f"{address}.log") as pid:
        end = f"to-{pid}"
        rack.ip(f"link add {end} type veth peer name eth0 netns {pid}")
        rack.ip(f"link set {end} master {bridge} up")
        inside = in_network(pid)
        run(*inside, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        run(*inside, "ip", "link", "set", "eth0", "up")
        yield inside


@contextmanager
def ordinary_dhcp(rack: BareRack) -> Iterator[None]:
    """Have a DHCP server on the network that knows of no booting."""
    command = (
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", *STAY_ROOT, "--pid-file=",
        f"--dhcp-range={RANGE}", f"--dhcp-leasefile={rack.work / 'other-leases'}", "--interface=eth0", "--no-ping",
    )  # fmt: skip
    with other_network(rack) as inside, running(*inside, *command, log=rack.work / "other-dhcp.log"):
        yield


def tiny_initramfs(*, padding_bytes: int = 0, busybox: Path | None = None) -> bytes:
    """Return an initramfs that says on the console what started it, and ends; `busybox` is a static one to use."""
    files = {"init": (0o755, _INIT.encode())}
    if busybox is not None:
        files["bin/busybox"] = (0o755, busybox.read_bytes())
    else:
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
        return in_network(self.pid)

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
                "--log-format=bare", "--state", str(self.work / "state"), *arguments, log=self.work / "seeder.log",
            )
        )  # fmt: skip
        wait_for_line(self.work / "seeder.log", "^stage 0: manifest")
        return seeder

    def status(self) -> dict[str, Any]:
        """Return what the seeder says of itself."""
        url = f"https://{ADDRESS}:8470/status"
        found: dict[str, Any] = json.loads(run(*self.inside, "curl", "-s", "-k", url))
        return found

    def wait_for_neighbours(self, count: int = 1, *, within_s: float = BOUND_S) -> None:
        """Return once the seeder knows of so many nodes that serve stage 0."""
        wait_until(
            f"{count} nodes that serve stage 0", lambda: self.status()["stage0"]["neighbours"] >= count,
            within_s=within_s, every_s=0.1,
        )  # fmt: skip

    def start(self, command: tuple[str, ...], name: str) -> subprocess.Popen[bytes]:
        """Run a program on this LAN until the end of the block."""
        return self.stack.enter_context(running(*self.inside, *command, log=self.work / f"{name}.log"))

    @contextmanager
    def power_on(
        self, name: str, *, firmware: str = "bios", memory: str = "512", disk: Path | None = None,
        is_disk_first: bool = True, address: str = "", more: Sequence[str] = (),
    ) -> Iterator[Machine]:  # fmt: skip
        """Power a machine on for the block, bare but for a disk if one is given.

        `firmware` is `bios` for SeaBIOS and the card's iPXE ROM, `uefi` for OVMF and its own PXE, `uefi-http` for its
        own HTTP boot, `secureboot` for an OVMF that starts only what Debian's snakeoil key has signed, `arm64` for its
        sister on another processor, `arm64-http` for that one's own HTTP boot, `u-boot` for U-Boot on a board.
        `address` is the card's MAC address, one of its own without it; `more` are further arguments of QEMU.
        """
        self.machines += 1
        tap = f"tap{self.machines}"
        self.ip(f"tuntap add {tap} mode tap")
        self.ip(f"link set {tap} master rack up")
        is_net_first = disk is None or not is_disk_first
        rom = "" if firmware == "bios" and is_net_first else ",romfile="
        card = f"virtio-net-pci,netdev=n0,mac={address or mac(self.machines)},bootindex={2 if is_net_first else 4}{rom}"
        command = (
            *BOUND_TO_US, *self.inside, *_programs(firmware), "-accel", "tcg", "-m", memory, "-display", "none",
            "-nodefaults", "-no-reboot", "-serial", "stdio", "-device", "virtio-rng-pci", "-name", name,
            "-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no", "-device", card,
            *self._disk(disk), *self._firmware(firmware, name), *more,
        )  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
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

    def _disk(self, disk: Path | None) -> tuple[str, ...]:
        if disk is None:
            return ()
        return ("-drive", f"if=none,id=disk,format=raw,file={disk}", "-device", "virtio-blk-pci,drive=disk,bootindex=3")

    def _firmware(self, firmware: str, name: str) -> tuple[str, ...]:
        if firmware == "bios":
            return ("-machine", "pc,graphics=off")
        if firmware in _ARM64:
            off = (word for option in _UEFI_OFF.get(firmware, ()) for word in ("-fw_cfg", f"name={option},string=n"))
            return ("-machine", "virt", "-bios", str(_ARM64[firmware]), *off)
        kind = ".snakeoil" if firmware == "secureboot" else ""
        variables = self.work / f"{name}.vars.fd"
        shutil.copyfile(OVMF / f"OVMF_VARS_4M{kind}.fd", variables)
        code = f"if=pflash,format=raw,readonly=on,file={OVMF / f'OVMF_CODE_4M{kind}.fd'}"
        return (
            "-drive", code, "-drive", f"if=pflash,format=raw,file={variables}", *_MACHINES[bool(kind)],
            *(word for option in _UEFI_OFF.get(firmware, ()) for word in ("-fw_cfg", f"name={option},string=n")),
        )  # fmt: skip


def _programs(firmware: str) -> tuple[str, ...]:
    if firmware in _ARM64:
        return ("qemu-system-aarch64", "-cpu", "cortex-a57")
    return ("qemu-system-x86_64", "-cpu", CPU)


def mac(number: int) -> str:
    """Return the MAC address of the machine that was powered on as number so and so, from 1."""
    return f"52:54:00:00:98:{number:02x}"


@contextmanager
def bare_rack(work: Path) -> Iterator[BareRack]:
    """Open a LAN without a DHCP server; everything on it ends with the block."""
    work.mkdir(exist_ok=True)
    with ExitStack() as stack:
        rack = BareRack(stack.enter_context(own_network(work / "keeper.log")), work, stack)
        for arguments in (
            "link set lo up", "link add rack type bridge forward_delay 0", f"address add {ADDRESS}/24 dev rack",
            "address add 10.98.0.2/24 dev rack", "address add 10.98.0.3/24 dev rack", "link set rack up",
        ):  # fmt: skip
            rack.ip(arguments)
        yield rack


def publish(
    work: Path, *arguments: str, kernel: Path, initramfs: bytes, cmdline: str = "console=ttyS0", path: str = PATH
) -> Path:
    """Publish a release whose stage 0 is this and whose root image is nothing; return the site."""
    release = work / "release"
    release.mkdir(parents=True)
    shutil.copyfile(kernel, release / "vmlinuz")
    (release / "initramfs.img").write_bytes(initramfs)
    (release / "rootfs.squashfs").write_bytes(b"hsqs" + Random(2).randbytes(200_000))
    (release / "release.toml").write_text(f"name = 'tiny'\ncmdline = '{cmdline}'\n")
    run(*SWARMBOOT, "keygen", "--out", str(work / "keys"))
    key = str(work / "keys" / "swarmboot.key")
    fixed = ("--site", str(work / "site"), "--key", key)
    run("env", f"PATH={path}", *SWARMBOOT, "publish", "--force", str(release), *fixed, *arguments)
    return work / "site"


def tiny_release_site(work: Path) -> Path:
    """Publish a release whose stage 0 nobody boots; return the site."""
    kernel = work / "kernel"
    kernel.write_bytes(b"no kernel")
    return publish(work, kernel=kernel, initramfs=b"no initramfs")


def marks(machine: Machine) -> dict[str, str]:
    """Return what the tiny system said, once it has said it all."""
    machine.wait_for(f"^{MARKER} end", within_s=BOOT_S)
    found = re.findall(rf"{MARKER} (\w+) (.*)", machine.console)
    return {name: value.strip() for name, value in found}


def bad_neighbour(rack: BareRack, site: Path, *, fault: str, host: str = "10.98.0.2") -> None:
    """Start a node that announces that it serves stage 0, and does it as `fault` says; return once it is believed."""
    command = (
        sys.executable,
        "-m",
        "tests.system.bare.bad_neighbour",
        str(site),
        host,
        fault,
        str(rack.work / "state"),
    )
    rack.start(command, f"bad-{host}")
    rack.wait_for_neighbours()


def good_neighbour(rack: BareRack, site: Path, *, host: str) -> None:
    """Start a real node that fetches the release and goes on as a neighbour; return once it serves stage 0 as well."""
    already = rack.status()["stage0"]["neighbours"]
    command = (
        *SWARMBOOT, "fetch", "--server", f"https://{ADDRESS}:8470", "--ca", str(rack.work / "state/ca.pem"),
        "--trust", str(site.parent / "keys/swarmboot.pub"), "--bind", host, "--into", str(rack.work / f"node-{host}"),
        "--linger", "--progress", "none",
    )  # fmt: skip
    rack.start(command, f"node-{host}")
    rack.wait_for_neighbours(already + 1)


def https_context(state: Path) -> ssl.SSLContext:
    """Return what the seeder's certificate is checked with."""
    return ssl.create_default_context(cafile=str(state / "ca.pem"))
