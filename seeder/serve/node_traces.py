"""What boots have read of their images, as nodes hand it in over `POST /trace`: looked at, and kept by manifest.

A node is believed no more than an order in which to fetch what is signed all the same: whoever publishes reads what is
kept (`swarmboot trace`), and signs it or not. One of a node that has announced itself, of a manifest that is served, of
bytes that its images have; one a manifest, the last one, of the newest manifests alone; and not many in a row.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope

from seeder.policy.facts.node import ImpostorError
from seeder.policy.facts.registry import Registry
from seeder.serve.guard import Guard
from seeder.site.catalogue import Catalogue
from swarmboot.codec import DecodeError
from swarmboot.crypto.fleet_token import Proof
from swarmboot.errors import ReleaseError
from swarmboot.host.files import write_whole
from swarmboot.ids import Sequence
from swarmboot.release.manifest import Manifest
from swarmboot.release.trace import check_known, format_trace, parse_trace
from swarmboot.text.addresses import connection_address
from swarmboot.wire.trace_report import TRACE_MAX_BYTES, TRACE_PATH, NodeTrace, decode_trace

Posted: TypeAlias = Callable[[Scope, Receive, str, int], Awaitable["tuple[Proof | None, bytes] | Response"]]

TRACES = "traces"
"""The folder in the seeder's state."""
KEPT_MAX = 8
GAP_S = 1.0


class TracesTaken:
    """Takes in traces. `folder` is the seeder's state; `tell` takes lines for its log."""

    def __init__(
        self, folder: Path, registry: Registry, catalogue: Catalogue, guard: Guard, *, tell: Callable[[str], None]
    ) -> None:
        self._folder = folder / TRACES
        self._registry = registry
        self._catalogue = catalogue
        self._guard = guard
        self._tell = tell
        self._next_s = 0.0

    def routes(self, posted: Posted) -> tuple[Route, ...]:
        """Return the route; `posted` reads a request's body, within bounds, and its proof, or refuses it."""

        async def trace(request: Request) -> Response:
            found = await posted(request.scope, request.receive, TRACE_PATH, TRACE_MAX_BYTES)
            if isinstance(found, Response):
                return found
            proof, body = found
            host = connection_address(request.client.host if request.client else "")
            try:
                said = await trio.to_thread.run_sync(decode_trace, body)
                if not self._guard.is_named(proof, said.node):
                    return self._guard.refusal(request.scope)
                if not self._may_now(said, host=host, now_s=time.monotonic()):
                    return PlainTextResponse("too many traces at once, ask again\n", status_code=503)
                count = await trio.to_thread.run_sync(self.keep, said, self._catalogue.manifests)
            except DecodeError as error:
                return PlainTextResponse(f"{error}\n", status_code=400)
            except ImpostorError as error:
                return PlainTextResponse(f"{error}\n", status_code=403)
            self._tell(f"{host} handed in what its boot has read of manifest {said.sequence}: {count} reads")
            return Response(status_code=204)

        return (Route(TRACE_PATH, trace, methods=["POST"]),)

    def _may_now(self, said: NodeTrace, *, host: str, now_s: float) -> bool:
        """Return whether there is time for a trace now; raise ImpostorError if it is not that of a node's own boot."""
        node = self._registry.nodes.get(said.node)
        if node is None or not node.may_speak(said.key, host):
            raise ImpostorError("a trace is taken of a node that has announced itself, and is its own")
        if now_s < self._next_s:
            return False
        self._next_s = now_s + GAP_S
        return True

    def keep(self, said: NodeTrace, manifests: Mapping[Sequence, Manifest]) -> int:
        """Write a trace down and return how many reads it has; raise DecodeError if it is not of that manifest.

        It takes a while, and is called in a thread.
        """
        manifest = manifests.get(Sequence(said.sequence))
        if manifest is None:
            raise DecodeError(f"trace.sequence: manifest {said.sequence} is not served here")
        sizes = {each.name: each.size_bytes for each in manifest.artifacts if each.is_mounted}
        try:
            found = parse_trace(said.text, where="trace.text")
            check_known(found, sizes, where="trace.text")
        except ReleaseError as error:
            raise DecodeError(str(error)) from error
        reads = [(name, read) for name, each in found.items() for read in each]
        if any(read.path or read.first_byte + read.size_bytes > sizes[name] for name, read in reads):
            raise DecodeError("trace.text reads what the images do not have")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self._folder / str(said.sequence), format_trace(reads).encode(), mode=0o600, is_flushed=False)
        for number in kept(self._folder.parent)[KEPT_MAX:]:
            (self._folder / str(number)).unlink(missing_ok=True)
        return len(reads)


def kept(state: Path) -> list[int]:
    """Return the numbers of the manifests of which a seeder's state has a trace, the newest first."""
    folder = state / TRACES
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted((int(name) for name in names if name.isdigit()), reverse=True)
