"""A node that serves stage 0 badly: `dies` after a third of the first image; `wrong` sends each with its end changed.

Any other fault is the path of a file that is sent in place of every image. Arguments: site, own address, fault, the
seeder's state folder. It announces itself to the seeder every second.
"""

from __future__ import annotations

import http.client
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from seeder.policy.facts.registry import Registry
from seeder.site.catalogue import Catalogue
from swarmboot.ids import NodeId
from swarmboot.release.manifest import Role
from swarmboot.wire.announce import ANNOUNCE_PATH, Announce, NodeState, encode_announce
from tests.system.bare.rack import ADDRESS, https_context

_CHANGED_BYTES = 1000


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        print(f"asked for {self.path}", flush=True)
        data = self.server.data(self.path.removeprefix("/k/").partition("?")[0])
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.server.fault != "dies":
            self.wfile.write(data)
            return
        self.wfile.write(data[: len(data) // 3])
        self.wfile.flush()
        os._exit(0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site: Path, host: str, fault: str) -> None:
        super().__init__((host, 0), _Handler)
        self.site, self.fault = site, fault

    def data(self, name: str) -> bytes:
        """Return what is sent as the image of that name: one that a loader takes for what it should be."""
        if self.fault not in ("dies", "wrong"):
            return Path(self.fault).read_bytes()
        right = (self.site / "blobs" / name).read_bytes()
        return right[:-_CHANGED_BYTES] + os.urandom(_CHANGED_BYTES) if self.fault == "wrong" else right


def main() -> None:
    """Serve and announce until ended."""
    site, host, fault, state = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
    server = _Server(site, host, fault)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    catalogue = Catalogue(site, Registry())
    (manifest,) = catalogue.refresh().appeared.values()
    stage0 = [*manifest.with_role(Role.KERNEL), *manifest.with_role(Role.INITRAMFS)]
    announce = Announce(
        node=NodeId(os.urandom(16)),
        sequence=manifest.sequence,
        state=NodeState.COMPLETE,
        port=6881,
        http_port=int(server.server_address[1]),
        serves=tuple(artifact.sha256 for artifact in stage0),
    )
    while True:
        seeder = http.client.HTTPSConnection(  # its address is that of its connection
            ADDRESS, 8470, timeout=10, context=https_context(state), source_address=(host, 0)
        )
        seeder.request("POST", ANNOUNCE_PATH, body=encode_announce(announce))
        seeder.getresponse().read()
        seeder.close()
        time.sleep(1)


if __name__ == "__main__":
    main()
