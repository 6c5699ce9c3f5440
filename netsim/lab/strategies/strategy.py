"""What a run gives a strategy, and the two things a strategy says.

A strategy is one small file: how the server serves, and what program a node runs. It will not time, count or verify
anything; the lab does that alike for all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from netsim.lab.rack.processes import failure_of, is_listening
from swarmboot.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsim.lab.rack.layout import Layout, Node
    from netsim.lab.rack.plan import LabPlan
    from netsim.lab.rack.processes import Child, Crew

_READY_BOUND_S = 60.0
_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Payload:
    """What a run moves: the release directory and, of it, the files that a node must hold at the end."""

    release: Path
    image: Path
    """The root image; a strategy that moves one file moves this one."""
    images: tuple[Path, ...]
    """All artifacts a node needs, the root image among them."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a strategy has at hand: the plan, the layout, the payload, a directory in RAM, and a crew to start."""

    plan: LabPlan
    layout: Layout
    payload: Payload
    directory: Path
    crew: Crew

    def node_folder(self, node: Node) -> Path:
        """Return the directory in RAM that holds what the node receives."""
        return self.directory / f"node{node.index}"

    def start_server(self, name: str, *argv: str) -> Child:
        """Start a program in the server's namespace."""
        log_path = self.directory / f"{name}.log"
        return self.crew.start(name, argv, netns=self.layout.server_netns, log_path=log_path)

    def await_server(self, child: Child, is_ready: Callable[[], bool]) -> None:
        """Return when the server is ready; raise LabError if it ends first or takes too long."""
        deadline_s = time.monotonic() + _READY_BOUND_S
        while not is_ready():
            self.crew.wait(_LOOK_EVERY_S)
            if child.exit_status is not None:
                raise failure_of(child)
            if time.monotonic() > deadline_s:
                raise LabError(f"{child.name} is not ready after {_READY_BOUND_S:.0f} s", found=child.last_words())

    def await_port(self, child: Child, port: int) -> None:
        """Return when the server's namespace listens on a TCP port."""
        self.await_server(child, lambda: is_listening(child, port))


@dataclass(frozen=True, slots=True)
class NodeProgram:
    """What one node runs, and how the lab sees that the node is complete."""

    argv: tuple[str, ...]
    done_path: Path | None = None
    """The file whose appearance means complete; None: the program's end with status 0 means it."""
    report_path: Path | None = None
    """A JSON object about the boot that the program leaves, if it does."""
    ready_path: Path | None = None
    """A JSON object that says when a boot could have gone on, for a strategy in which that is before the end."""


class Strategy(Protocol):
    """One way to bring an image to N nodes."""

    @property
    def tools(self) -> Mapping[str, str]:
        """Return the programs it runs and the Debian package of each."""

    @property
    def moves_whole_release(self) -> bool:
        """Return whether nodes receive every artifact of the release, or the root image alone."""

    def serve(self, context: RunContext) -> None:
        """Make what the server needs, start it, and return when nodes may come."""

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return what a node runs; its folder exists."""
