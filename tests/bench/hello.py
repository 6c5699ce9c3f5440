"""The least an application can do on the seeder's HTTP server with the seeder's settings: the floor of every figure."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import hypercorn.trio
import trio

from seeder.http import hypercorn_connection
from seeder.http.authority import given_certificate
from seeder.http.crowd import Crowd
from seeder.http.listener import listen
from seeder.serve import collector

BODY = b"x" * 400


async def hello(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the request, answer with a few bytes."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def main() -> None:
    """Serve on a free port of loopback until told to stop: CERTIFICATE KEY [stock], which is Hypercorn as it comes."""
    certificate = given_certificate(Path(sys.argv[1]), Path(sys.argv[2]))
    listener = listen("127.0.0.1", 0)
    print(f"listening on https://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    collector.settle()
    settings = hypercorn_connection.settings(listener, Crowd(), certificate=certificate)
    if sys.argv[3:] == ["stock"]:
        trio.run(hypercorn.trio.serve, cast(Any, hello), settings)
    else:
        trio.run(hypercorn_connection.serve, hello, settings, trio.sleep_forever)


if __name__ == "__main__":
    main()
