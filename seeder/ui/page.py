"""The live page at `/ui/`: files of this package as they are, and the form by which somebody signs in.

Everything that the page shows it asks of the API. Scripts and styles are nobody's secret; the page itself is given to
those who may read the API, others get the form, or a word on why there is none. No file names another host, and the
policy that goes out with each lets the browser load nothing from elsewhere and run nothing that is written into a page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import resources
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from seeder.http.request_body import BodyRoom
from seeder.ui.access import SESSION_S, TRIES_S, Access

COOKIE = "__Host-swarmboot"
"""A name that browsers keep to HTTPS, to this host and to the whole of it (RFC 6265bis, section 4.1.3.2)."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FORM_MAX_BYTES = 4096
_SIGN_OUT = b'<form method="post" action="logout"><button class="plain">Sign out</button></form>'
_NOT_HERE = (
    "This page is for the server's own machine and for --status-from.\n"
    "For others: swarmboot serve --ui-token FILE, and sign in with the token in it.\n"
)


def _files() -> dict[str, bytes]:
    folder = resources.files("seeder.ui").joinpath("static")
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


class Page:
    """The routes of the page; `is_near` says whether a request comes from where everybody may read."""

    def __init__(self, access: Access, is_near: Callable[[Request], bool]) -> None:
        self._access = access
        self._is_near = is_near
        self._files = _files()
        self._room = BodyRoom()

    def routes(self) -> Sequence[Route]:
        """Return the routes of the page."""
        return (
            Route("/ui", self._to_page),
            Route("/ui/", self._page),
            Route("/ui/login", self._form),
            Route("/ui/login", self._sign_in, methods=["POST"]),
            Route("/ui/logout", self._sign_out, methods=["POST"]),
            Route("/ui/{name}", self._file),
        )

    def may_read(self, request: Request) -> bool:
        """Return whether whoever asks may read what the fleet does: by where it is, by a token or by a cookie."""
        if self._is_near(request) or self._is_signed_in(request):
            return True
        header = request.headers.get("authorization", "")
        return self._access.is_token(header, _host(request), now_s=time.monotonic())

    def _is_signed_in(self, request: Request) -> bool:
        return self._access.is_session(request.cookies.get(COOKIE, ""), now_unix_s=time.time())

    async def _to_page(self, _request: Request) -> Response:
        return _to("/ui/")

    async def _page(self, request: Request) -> Response:
        if self.may_read(request):
            sign_out = _SIGN_OUT if self._is_signed_in(request) else b""
            return self._answer("index.html", {b"<!--sign out-->": sign_out})
        return _to("/ui/login") if self._access.has_token else PlainTextResponse(_NOT_HERE, 403, HEADERS)

    async def _form(self, request: Request) -> Response:
        if not self._access.has_token:
            return _to("/ui/") if self.may_read(request) else PlainTextResponse(_NOT_HERE, 403, HEADERS)
        return self._answer("login.html", {b"<!--said-->": b""})

    async def _sign_in(self, request: Request) -> Response:
        body = await self._room.read(request.receive, _FORM_MAX_BYTES)
        if not isinstance(body, bytes):
            return body
        token = parse_qs(body.decode("ascii", "replace")).get("token", [""])[0]
        host, now_s = _host(request), time.monotonic()
        if self._access.is_shut(host, now_s=now_s):
            said = b'<p class="wrong" role="alert">Too many wrong tokens; wait a minute.</p>'
            answer = self._answer("login.html", {b"<!--said-->": said}, status=429)
            answer.headers["retry-after"] = str(int(TRIES_S))
            return answer
        if not self._access.is_token(f"Bearer {token.strip()}", host, now_s=now_s):
            said = b'<p class="wrong" role="alert">That is not the token.</p>'
            return self._answer("login.html", {b"<!--said-->": said}, status=403)
        answer = _to("/ui/")
        value = self._access.cookie(now_unix_s=time.time())
        answer.set_cookie(COOKIE, value, max_age=SESSION_S, secure=True, httponly=True, samesite="strict")
        return answer

    async def _sign_out(self, _request: Request) -> Response:
        answer = _to("/ui/login" if self._access.has_token else "/ui/")
        answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
        return answer

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files or name.endswith(".html"):
            return PlainTextResponse("no such file\n", 404, HEADERS)
        return self._answer(name, {})

    def _answer(self, name: str, filled: dict[bytes, bytes], *, status: int = 200) -> Response:
        body = self._files[name]
        for place, text in filled.items():
            body = body.replace(place, text)
        return Response(body, status, HEADERS, _TYPES[name[name.rindex(".") :]])


def _to(path: str) -> Response:
    """Return an answer that sends a browser elsewhere on this server, by GET (RFC 9110, section 15.4.4)."""
    return RedirectResponse(path, status_code=303, headers=HEADERS)


def _host(request: Request) -> str:
    return request.client.host if request.client else ""
