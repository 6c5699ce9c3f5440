"""A virtual machine without a disk: QEMU with software emulation, its serial console kept line by line with times."""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.waiting import wait_until
from tests.system.vm.lan import Lan
from tests.system.vm.programs import BOUND_TO_US, PATH

_MONITOR_S = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\x00]")
_KERNEL = re.compile(r"\[ *\d+\.\d{6}\] [^\n]*\n?")

UNPLUGGED = "unplugged"
"""In place of a bridge: the card's cable is not in it, so that it has no carrier."""

CPU = "max,-erms,-fsrm"
"""Without `rep stosb`: emulation clears pages byte by byte with it, and pages that held code slower still."""


OWN_CLOCK = ("-icount", "shift=0")
"""Further arguments of QEMU: a machine's clock counts its own instructions, a thousand million to the second, and goes
with the host's while it is idle. So its seconds are those of a small real machine, whatever else the host does."""


EMULATED = "init_on_alloc=0 norandmaps"
"""Kernel arguments that spare emulation work. `norandmaps`: what is translated is kept by virtual address too, so with
random ones each process of a shell script has its own translation of libc's pages, and the first write to such a page,
once it is another's, throws tens of thousands away one after the other: half a minute a page, which a kernel takes for
a soft lock-up. `init_on_alloc=0` spares clearing pages, which is such a write."""


@dataclass(frozen=True, slots=True)
class Board:
    """What a machine is: QEMU's program for it, and the console that its kernel is to use."""

    program: tuple[str, ...]
    console: str


PC = Board(("qemu-system-x86_64", "-cpu", CPU), "ttyS0")
ARM64 = Board(("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57"), "ttyAMA0")


@dataclass(slots=True)
class Machine:
    """A running machine. `lines` are what its console said, each with the seconds since power-on."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    started_s: float
    lines: list[tuple[float, str]] = field(default_factory=list)
    unfinished: str = ""
    """What it said last without an end of line, as a prompt does."""

    @property
    def console(self) -> str:
        """Return everything the console said."""
        return "\n".join([*(line for _, line in self.lines), self.unfinished])

    def follow(self) -> None:
        """Take down the console until it closes; run in a thread."""
        console, rest = self.process.stdout, b""
        assert isinstance(console, io.BufferedReader)
        with self.log.open("w") as log:
            while chunk := console.read1():
                *ended, rest = (rest + chunk).split(b"\n")
                at_s = time.monotonic() - self.started_s
                for line in map(_text, ended):
                    self.lines.append((at_s, line))
                    log.write(f"{at_s:7.2f} {line}\n")
                self.unfinished = _text(rest)
                log.flush()

    def wait_for(self, pattern: str, *, within_s: float) -> float:
        """Return when, in seconds since power-on, the console said what matches; fail the test if it does not."""
        wanted = re.compile(pattern)

        def look() -> float | None:
            for at_s, line in list(self.lines):
                if wanted.search(line):
                    return at_s
            return time.monotonic() - self.started_s if wanted.search(self.unfinished) else None

        return wait_until(
            f"{pattern!r} on the console of {self.name}", look, process=self.process, within_s=within_s, every_s=0.1,
            seen=lambda: self.console,
        )  # fmt: skip

    def marks(self) -> dict[str, str]:
        """Return what the marker inside the booted system said; the kernel may speak in the middle of its lines."""
        found = re.findall(r"marker: (\w+) (.*)", _KERNEL.sub("", self.console))
        return {name: value.strip() for name, value in found}

    def enter(self, line: str) -> None:
        """Type a line on the console."""
        self.press(f"{line}\n")

    def press(self, keys: str) -> None:
        """Press keys on the console."""
        assert self.process.stdin is not None
        self.process.stdin.write(keys.encode())
        self.process.stdin.flush()

    def stop(self) -> None:
        """Cut the power."""
        self.process.kill()
        self.process.wait()


def _text(raw: bytes) -> str:
    """Return what the console shows of these bytes."""
    return _ESCAPES.sub("", raw.decode(errors="replace"))


def mac_of(name: str, card: int = 0) -> str:
    """Return the MAC address of a machine's card."""
    first, second = hashlib.sha256(name.encode()).digest()[:2]
    return f"52:54:00:{first:02x}:{second:02x}:{card:02x}"


@contextmanager
def booting(
    lan: Lan, name: str, *, kernel: Path, initramfs: Path, cmdline: str, memory: str = "768",
    cards: Sequence[str] = ("rack",), clock: str = "", more: Sequence[str] = (), board: Board = PC,
    model: str = "virtio-net-pci",
) -> Iterator[Machine]:  # fmt: skip
    """Power a machine on while the block lasts.

    `cards` are the bridges that its network cards are plugged into, an empty name for a link on which nobody is, or
    UNPLUGGED, `model` is QEMU's name for such a card; `more` are further arguments of QEMU.
    """
    network: list[str] = []
    for card, bridge in enumerate(cards):
        plugged = lan.tap("" if bridge == UNPLUGGED else bridge)
        network += ["-netdev", f"tap,id=n{card},ifname={plugged},script=no,downscript=no"]
        network += ["-device", f"{model},id=c{card},netdev=n{card},mac={mac_of(name, card)},romfile="]
    unplugged = [f"set_link c{card} off" for card, bridge in enumerate(cards) if bridge == UNPLUGGED]
    monitor = lan.work / f"{name}.monitor"
    if unplugged:
        network += ["-S", "-monitor", f"unix:{monitor},server=on,wait=off"]
    command = (
        *BOUND_TO_US, *lan.inside, *board.program, "-accel", "tcg", "-m", memory, "-display",
        "none", "-nodefaults", "-no-reboot", "-serial", "stdio", "-device", "virtio-rng-pci", "-name", name,
        "-kernel", str(kernel), "-initrd", str(initramfs),
        "-append", f"console={board.console} {EMULATED} {cmdline}", *network,
        *(("-rtc", f"base={clock}") if clock else ()), *more,
    )  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": PATH},
    )  # fmt: skip
    machine = Machine(name, process, lan.work / f"{name}.console", time.monotonic())
    thread = threading.Thread(target=machine.follow, daemon=True)
    thread.start()
    try:
        if unplugged:
            _command(monitor, *unplugged, "cont")
        yield machine
    finally:
        machine.stop()
        thread.join(10)
        process.communicate()


def _command(monitor: Path, *commands: str) -> None:
    """Give commands to QEMU's monitor, once it listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        path = os.path.relpath(monitor)  # a socket's whole path may be too long (unix(7))
        wait_until("QEMU's monitor", lambda: connection.connect_ex(path) == 0, within_s=_MONITOR_S)
        with connection.makefile("rw") as lines:
            for command in (*commands, "info status"):
                lines.write(f"{command}\n")
                lines.flush()
            assert any("VM status: running" in line for line in lines)
