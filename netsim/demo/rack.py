"""A rack of real leechers on loopback addresses, and the seeder they boot from, all run by their command lines.

It decides nothing and draws nothing: it starts the programs, reads what they print and report, and compares the images.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsim.demo.children import Child, Children, run_verb
from swarmboot.errors import LabError
from swarmboot.text.units import format_rate
from swarmboot.wire.report import VERIFIED

if TYPE_CHECKING:
    from pathlib import Path

_START_BOUND_S = 60.0
_POLL_S = 0.02
_TAIL_BYTES = 4096
_LISTENING = re.compile(rb"listening on (https://\S+?),? ")


@dataclass(frozen=True, slots=True)
class Published:
    """A site and the images that every node needs: names and SHA-256 digests of the release's own files."""

    site: Path
    trust: Path
    digests: dict[str, str]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class NodeView:
    """How far one node is. `seconds_s` is from the first node's start to this one's verified images, or None.

    `start_s` is what its process took before it asked for anything.
    """

    address: str
    have_bytes: int = 0
    total_bytes: int = 0
    from_neighbours_bytes: int = 0
    from_origin_bytes: int = 0
    hash_failures: int = 0
    start_s: float = 0.0
    seconds_s: float | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One leecher's process and what it writes."""

    child: Child
    address: str
    images: Path
    report: Path


def publish(release: Path, *, work: Path) -> Published:
    """Publish a release with a key made for it; raise LabError if a verb fails."""
    run_verb("keygen", "--out", str(work / "keys"))
    site, key = work / "site", work / "keys" / "swarmboot.key"
    printed = run_verb("publish", "--force", str(release), "--site", str(site), "--key", str(key), "--json")
    digests, size_bytes = {}, 0
    for artifact in json.loads(printed)["artifacts"]:
        if artifact["role"] in ("root", "plugin"):
            folder = release / "plugins" if artifact["role"] == "plugin" else release
            digests[artifact["name"]] = digest(folder / artifact["name"])
            size_bytes += artifact["size_bytes"]
    return Published(site, work / "keys" / "swarmboot.pub", digests, size_bytes)


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Rack:
    """The seeder and the nodes of one demo; `children` owns the processes."""

    def __init__(self, published: Published, children: Children, *, work: Path) -> None:
        self._published = published
        self._children = children
        self._work = work
        self._started_unix_s = 0.0
        self.nodes: list[Node] = []

    def serve(self, *, uplink_bytes_per_s: float) -> str:
        """Start the seeder on a free loopback port and return its address once it listens."""
        seeder = self._children.start(
            "seeder", "swarmboot", "serve", str(self._published.site), "--listen", "127.0.0.1:0",
            "--uplink", format_rate(uplink_bytes_per_s), "--state", str(self._work / "state"), logs=self._work,
        )  # fmt: skip
        deadline_s = time.monotonic() + _START_BOUND_S
        while time.monotonic() < deadline_s:
            seeder.check_alive()
            if found := _LISTENING.search(seeder.output.read_bytes()):
                return found[1].decode()
            time.sleep(_POLL_S)
        raise LabError("the seeder does not listen", expected=f"its address within {_START_BOUND_S:.0f} s")

    def boot(self, server: str, *, nodes: int) -> None:
        """Start the leechers, one an address from 127.0.0.2 on."""
        self._started_unix_s = time.time()
        for number in range(nodes):
            address = f"127.0.{(number + 2) // 256}.{(number + 2) % 256}"
            images, report = self._work / f"node{number}", self._work / f"node{number}.json"
            child = self._children.start(
                f"leecher{number}", "leecher", "--server", server, "--trust", str(self._published.trust),
                "--ca", str(self._work / "state" / "ca.pem"), "--into", str(images), "--bind", address,
                "--report", str(report), "--linger", "--progress", "json", logs=self._work,
            )  # fmt: skip
            self.nodes.append(Node(child, address, images, report))

    def look(self) -> list[NodeView]:
        """Return how far each node is; raise LabError if one has ended or reports a failure."""
        return [self._look_at(node) for node in self.nodes]

    def _look_at(self, node: Node) -> NodeView:
        if node.report.exists():
            report = json.loads(node.report.read_text())
            if report["outcome"] == VERIFIED:
                return NodeView(
                    node.address,
                    have_bytes=self._published.size_bytes,
                    total_bytes=self._published.size_bytes,
                    from_neighbours_bytes=report["bytes_from"]["neighbours"],
                    from_origin_bytes=report["bytes_from"]["origin"],
                    hash_failures=report["hash_failures"],
                    start_s=report["phases"].get("leecher_start", 0.0),
                    seconds_s=report["finished_unix_s"] - self._started_unix_s,
                )
            raise LabError(f"node {node.address} did not boot", found=report["error"])
        node.child.check_alive()
        line = last_line(node.child.output)
        return NodeView(
            node.address,
            have_bytes=line.get("have_bytes", 0),
            total_bytes=self._published.size_bytes,
            from_neighbours_bytes=line.get("from_neighbours", 0),
            from_origin_bytes=line.get("from_origin", 0),
        )

    def differing(self, node: Node) -> list[str]:
        """Return the images of a node that are missing or differ from the published release's files."""
        paths = {name: node.images / name for name in self._published.digests}
        return [
            name
            for name, expected in self._published.digests.items()
            if not paths[name].is_file() or digest(paths[name]) != expected
        ]


def last_line(path: Path) -> dict[str, Any]:
    """Return the last whole JSON line of a file that a program is writing, or nothing."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        *whole, _unfinished = file.read().split(b"\n")
    found: dict[str, Any] = json.loads(whole[-1]) if whole and whole[-1].startswith(b"{") else {}
    return found
