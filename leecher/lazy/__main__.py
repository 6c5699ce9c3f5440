"""Serves images to the kernel while another program fetches them: `python -m leecher.lazy FUSE MOUNT COMMAND...`.

FUSE is the number of an open descriptor of /dev/fuse, mounted already at MOUNT. COMMAND fetches (`--lazy`), is told of
the reads that wait, and says when all is there (`leecher.lazy.link`). If it dies before that it is started again, and
goes on with what is there: a fault in it does not become one of the kernel's. When all is there the loop devices get
the whole files, the kernel ends the connection, and nothing of this is left but a parent that waits for COMMAND.

SIGTERM ends both, COMMAND first, and takes the devices away: what the initramfs hook does before it tries again. Nobody
else does: where a root stands on this, systemd and Debian's sendsigs spare it (`leecher.initramfs.lazy`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from leecher.lazy import loop
from leecher.lazy.guard import forget_mount, spawn, stand_guard
from leecher.lazy.link import VARIABLE, Link, read_images
from leecher.lazy.server import FileServer

_PAUSE_S, _PAUSE_MAX_S = 0.2, 10.0
_FAULTY = 70
_STOP_S = 10.0
"""A fetcher that has not ended so long after it was asked to is killed."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Window:
    """The time in which images are read that are not all there: the server, its loop devices, and the fetcher."""

    def __init__(self, fuse: int, mount: str, command: list[str], forget: Sequence[str] = ()) -> None:
        os.set_inheritable(fuse, False)  # held by the fetcher too, the connection would outlive this program
        self._mount = mount
        self._command = command
        self._forget = forget
        self._server = FileServer(fuse, self._tell)
        self._link: Link | None = None
        self._devices: list[tuple[str, int]] = []
        self._child = 0
        self._is_stopped = self._is_told = self._is_in_use = False
        self._exchange_ms = 0.0
        self.is_over = False

    def run(self) -> int:
        """Serve and fetch until there is nothing left to fetch, or until `stop`; return the fetcher's exit status."""
        self._server.start()
        pause_s = _PAUSE_S
        status = self._fetch()
        while not self._is_stopped and self._is_fetcher_lacking(status):
            say(f"the leecher ended with status {status}; starting it again, reads wait")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
            if not self._is_stopped:
                status = self._fetch()
        if not self.is_over:
            self._detach()
        return status % 256

    def _is_fetcher_lacking(self, status: int) -> bool:
        """Return whether there is something left to do for a fetcher after one that has ended so.

        From when a root is in use that is so however it has ended: without one, reads would fail. When all is there a
        report may still be to be made. Before, its end is the end of an attempt to boot.
        """
        return status < 0 if self.is_over else self._is_in_use

    def stop(self, number: int) -> None:
        """End, the fetcher first: a signal was received."""
        self._is_stopped = True
        self._signal(number)
        timer = threading.Timer(_STOP_S, self._signal, (signal.SIGKILL,))
        timer.daemon = True
        timer.start()

    def _signal(self, number: int) -> None:
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, number)

    def _detach(self) -> None:
        """Take the devices away; what is mounted from them keeps its own until it is unmounted, and reads nothing."""
        devices, self._devices = self._devices, []
        for _, device in devices:
            loop.detach(device)
            os.close(device)

    def _fetch(self) -> int:
        """Run the fetcher until it ends, hear it, and return its exit status, or minus the signal that ended it."""
        own, other = socket.socketpair()
        other.set_inheritable(True)
        environment = {**os.environ, VARIABLE: str(other.fileno())}
        self._child = spawn(self._command, environment)
        other.close()
        self._link = link = Link(own)
        hearer = threading.Thread(target=self._hear, args=(link,), name="link", daemon=True)
        hearer.start()
        _, status = os.waitpid(self._child, 0)
        self._child = 0
        link.close()
        hearer.join()  # what it said last still counts
        return os.waitstatus_to_exitcode(status)

    def _hear(self, link: Link) -> None:
        for word, rest in link.lines():
            match word:
                case "trace":
                    self._server.touch = self._touch
                case "images":
                    self._serve(link, rest)
                case "used":
                    self._is_in_use = True
                    for path in self._forget:
                        forget_mount(path)
                case "came":
                    self._server.something_came()
                case "whole":
                    self._end(link, rest)

    def _tell(self, image: int, index: int, is_missing: bool) -> None:
        if self._link is not None:
            self._link.hint("wait" if is_missing else "read", image, index)

    def _touch(self, image: int, first_byte: int, size_bytes: int) -> bool:
        return self._link is not None and self._link.hint("touch", image, first_byte, size_bytes)

    def _serve(self, link: Link, text: str) -> None:
        """Serve images and put loop devices over them, once."""
        try:
            images = read_images(text)
            self._server.serve(images)
            for index, image in enumerate(images[len(self._devices) :], len(self._devices)):
                descriptor = os.open(f"{self._mount}/{index}", os.O_RDONLY | os.O_CLOEXEC)
                self._devices.append(loop.attach(descriptor, name=os.path.basename(image.path)))  # noqa: PTH119
                os.close(descriptor)  # a process that ends and has its own file open may wait for itself
        except (OSError, ValueError) as error:
            if not self._is_told:
                self._detach()  # of several, those that there were
            link.send("fault", error)
        else:
            self._is_told = True
            link.send("loops", *(path for path, _ in self._devices))

    def _end(self, link: Link, text: str) -> None:
        """Exchange the files, which the fetcher has found to be what was signed, and leave the kernel alone."""
        if self.is_over:  # a fetcher that was started again does not know
            link.send("done", self._exchange_ms)
            return
        for file, image in zip(self._server.files, read_images(text), strict=True):
            file.move(image)  # one that nobody has read was not opened yet, and may have its name by now
        began_s = time.monotonic()
        try:
            for (path, _), file in zip(self._devices, self._server.files, strict=True):
                if not file.open():
                    raise FileNotFoundError(f"there is no file to put under {path}")
            files = [file.descriptor for file in self._server.files]
            loop.exchange([(device, new) for (_, device), new in zip(self._devices, files, strict=True)])
        except OSError as error:
            link.send("fault", error)
            return
        self.is_over = True
        self._exchange_ms = round((time.monotonic() - began_s) * 1000, 1)
        link.send("done", self._exchange_ms)
        for (_, device), file in zip(self._devices, self._server.files, strict=True):
            os.close(device)
            file.close()


def say(line: str) -> None:
    """Print a line for people."""
    print(f"swarmboot: {line}", file=sys.stderr, flush=True)


def end_at_once(fault: threading.ExceptHookArgs) -> None:
    """End the process: a read that a dead thread has taken would wait for ever, and so it fails, and that is seen."""
    say(f"the server of reads has a fault and ends: {fault.exc_type.__name__}: {fault.exc_value}")
    os._exit(_FAULTY)


def main(forget: Sequence[str] = ()) -> NoReturn:
    """Do what the arguments say and exit as the fetcher did; once a root is in use let go of these mounts."""
    fuse, mount, *command = sys.argv[1:]
    for fault in stand_guard():
        say(f"reads may stand still when memory runs out: {fault}")
    threading.excepthook = end_at_once
    window = Window(int(fuse), mount, command, forget)
    for number in _SIGNALS:
        signal.signal(number, lambda got, _frame: window.stop(got))
    sys.exit(window.run())


if __name__ == "__main__":
    main()
