"""Header names as RFC 9110 writes them: GRUB 2.06 knows no other spelling."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


def with_capitals(application: ASGIApp) -> ASGIApp:
    """Return the application with header names as in `Content-Length`: GRUB 2.06 knows no other spelling."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def sendwith_capitals(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(name.title(), value) for name, value in message["headers"]]
            await send(message)

        await application(scope, receive, sendwith_capitals)

    return wrapped
