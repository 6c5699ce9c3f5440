"""What a machine does before any of our code runs on it, as iPXE does it.

A program, `python -m netsim.lab.strategies.programs.firmware`:

    firmware SERVER MAC KERNEL_S FOLDER REPORT

Asks SERVER for its boot script as often as it is told to, loads kernel and initramfs whole from the sources of the
script in order, over one connection a source that is kept open, and lasts KERNEL_S more for the kernel's start. The
initramfs is left in FOLDER under its digest, where a leecher finds what a kernel has kept; REPORT says in JSON how long
it took to start, and when stage 0 was there. It will not check a byte, as firmware does not.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

SILENT_S = 5.0
_IMAGE = re.compile(r"^(kernel|initrd) .*?(http://\S+/k/([0-9a-f]{64})\S*)", re.MULTILINE)
_SLEEP = re.compile(r"^sleep ([0-9]+)$", re.MULTILINE)
_READ_BYTES = 1 << 17


class Firmware:
    """One machine's loads, over connections that are kept."""

    def __init__(self, server: str, mac: str) -> None:
        self._server = server
        self._mac = mac
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def script(self) -> str:
        """Return the script that loads, having waited for as long as others say."""
        while True:
            status, body = self._get(f"http://{self._server}/boot.ipxe?mac={self._mac}")
            text = body.decode()
            if status == 200 and _IMAGE.search(text):
                return text
            slept = _SLEEP.search(text)
            time.sleep(float(slept[1]) if slept else 1.0)

    def load(self, script: str) -> Iterator[tuple[str, str, bytes]]:
        """Yield kernel and initramfs with their digests, each from the first source that serves it whole."""
        sources: dict[str, list[tuple[str, str]]] = {"kernel": [], "initrd": []}
        for command, url, digest in _IMAGE.findall(script):
            sources[command].append((url, digest))
        for command, urls in sources.items():
            yield command, urls[0][1], self._first_of([url for url, _ in urls])

    def _first_of(self, urls: list[str]) -> bytes:
        for url in urls:
            source, began_s = urlsplit(url).netloc, time.monotonic()
            try:
                status, body = self._get(url)
            except (OSError, http.client.HTTPException) as error:
                self._connections.pop(source).close()
                say(f"{source} failed after {time.monotonic() - began_s:.3f} s: {error!r}")
                continue
            say(f"{source} sent {status} and {len(body)} bytes in {time.monotonic() - began_s:.3f} s")
            if status == 200:
                return body
        raise OSError(f"no source has served {urls}")

    def _get(self, url: str) -> tuple[int, bytes]:
        parts = urlsplit(url)
        connection = self._connections.get(parts.netloc)
        if connection is None:
            connection = http.client.HTTPConnection(parts.netloc, timeout=SILENT_S)
            self._connections[parts.netloc] = connection
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.read()


def say(line: str) -> None:
    """Leave a line in this machine's log, with the time."""
    print(f"{time.time():.3f} {line}", flush=True)


def main() -> None:
    """Load stage 0 and last as long as a kernel takes."""
    server, mac, kernel_s, folder, report = sys.argv[1:]
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    loader_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    began_s = time.monotonic()
    firmware = Firmware(server, mac)
    for command, digest, data in firmware.load(firmware.script()):
        if command == "initrd":
            (Path(folder) / digest).write_bytes(data)
    Path(report).write_text(json.dumps({"loader_s": loader_s, "stage0_s": time.monotonic() - began_s}))
    time.sleep(float(kernel_s))


if __name__ == "__main__":
    main()
