"""What the seeder gives only to nodes that prove the fleet token: sealed secret settings, and a node's own files.

Both are asked for by POST over HTTPS. Secrets are sealed for the token beside that (`swarmboot.crypto.fleet_token`).
A node's files go by the MAC addresses that it names: a holder of the token could name another's, which nothing here
can tell.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from seeder.serve.guard import Guard
from seeder.stage0.rack_map import read_node_files
from swarmboot.codec import DecodeError
from swarmboot.crypto.fleet_token import NODE_FILES_PATH, SECRETS_PATH
from swarmboot.errors import SpaceError
from swarmboot.ids import Digest
from swarmboot.release import layout
from swarmboot.wire.announce import WIRE_TYPE
from swarmboot.wire.private import PRIVATE_MAX_BYTES, decode_files_wanted, decode_secrets_wanted, encode_files

Give = Callable[[bytes], Awaitable[bytes | None]]


def private_routes(guard: Guard, site: Path, node_files: Path | None) -> Sequence[Route]:
    """Return the routes of what is private; none where there is no token to prove."""
    if guard.is_open:
        return ()

    async def secrets(body: bytes) -> bytes | None:
        return await trio.to_thread.run_sync(_secrets, site, decode_secrets_wanted(body))

    async def files(body: bytes) -> bytes | None:
        return await trio.to_thread.run_sync(_files, node_files, decode_files_wanted(body))

    return (_route(guard, SECRETS_PATH, secrets), _route(guard, NODE_FILES_PATH, files))


def _route(guard: Guard, path: str, give: Give) -> Route:
    async def answer(request: Request) -> Response:
        proof = guard.proof(request.scope)
        body = await _body(request) if proof is not None else b""
        if not guard.is_fleet(proof, path, body):
            return guard.refusal(request.scope)
        try:
            given = await give(body)
        except DecodeError as error:
            return PlainTextResponse(f"{error}\n", status_code=400)
        except SpaceError as error:
            return PlainTextResponse(f"{error}\n", status_code=500)
        if given is None:
            return PlainTextResponse("there is none\n", status_code=404)
        return Response(given, media_type=WIRE_TYPE, headers={"cache-control": "no-store"})

    return Route(path, answer, methods=["POST"])


async def _body(request: Request) -> bytes:
    """Return the beginning of a request's body, which no proof fits if it is not the whole."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > PRIVATE_MAX_BYTES:
            break
    return bytes(body)


def _secrets(site: Path, digest: Digest) -> bytes | None:
    try:
        return (site / layout.secrets_path(digest)).read_bytes()
    except OSError:
        return None


def _files(folder: Path | None, macs: Sequence[str]) -> bytes:
    """Return the files for the machine with these addresses, which may be none."""
    return encode_files(read_node_files(folder, *macs) if folder is not None and macs else {})
