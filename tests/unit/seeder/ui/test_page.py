"""What the page's routes answer, without a socket: to those who may read and to those who may not."""

from __future__ import annotations

import re
from hashlib import sha256

import httpx
import pytest
from starlette.applications import Starlette

from seeder.ui.access import TRIES_MAX, Access
from seeder.ui.page import Page

TOKEN = "0123456789abcdef0123"
FILES = ("app.js", "racks.js", "page.css", "icon.svg")


def client(*, token: str = TOKEN, is_near: bool = False) -> httpx.AsyncClient:
    access = Access(sha256(token.encode()).digest() if token else b"")
    application = Starlette(routes=[*Page(access, lambda _request: is_near).routes()])
    transport = httpx.ASGITransport(application, client=("10.0.0.9", 1234))
    return httpx.AsyncClient(transport=transport, base_url="https://seeder")


async def test_a_stranger_is_shown_the_form_and_no_page() -> None:
    async with client() as stranger:
        answer = await stranger.get("/ui/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/login")
        assert 'name="token"' in (await stranger.get("/ui/login")).text
        assert (await stranger.get("/ui/index.html")).status_code == 404


async def test_without_a_token_the_page_is_for_this_machine_alone_and_says_so() -> None:
    async with client(token="") as stranger:
        for path in ("/ui/", "/ui/login"):
            answer = await stranger.get(path)
            assert answer.status_code == 403
            assert "--ui-token" in answer.text
    async with client(token="", is_near=True) as near:
        assert 'id="map"' in (await near.get("/ui/")).text


async def test_the_right_token_gives_a_cookie_that_opens_the_page() -> None:
    async with client() as somebody:
        assert (await somebody.post("/ui/login", data={"token": "wrong"})).status_code == 403
        answer = await somebody.post("/ui/login", data={"token": f" {TOKEN} "})
        said = answer.headers["set-cookie"].lower()
        assert answer.headers["location"] == "/ui/"
        assert all(word in said for word in ("__host-", "secure", "httponly", "samesite=strict", "path=/"))
        assert "Sign out" in (await somebody.get("/ui/")).text
        await somebody.post("/ui/logout")
        assert (await somebody.get("/ui/")).status_code == 303


async def test_a_header_with_the_token_opens_the_page() -> None:
    async with client() as somebody:
        assert (await somebody.get("/ui/", headers={"authorization": f"Bearer {TOKEN}"})).status_code == 200


async def test_after_too_many_wrong_tokens_the_form_asks_to_wait() -> None:
    async with client() as somebody:
        for _ in range(TRIES_MAX):
            await somebody.post("/ui/login", data={"token": "wrong"})
        answer = await somebody.post("/ui/login", data={"token": TOKEN})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/ui/", "/ui/login", "/ui/nothing", *(f"/ui/{name}" for name in FILES)])
async def test_every_answer_lets_the_browser_load_and_run_nothing_from_elsewhere(path: str) -> None:
    async with client(is_near=True) as near:
        headers = (await near.get(path)).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src", "img-src", "form-action")} == {"'self'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["/ui/", "/ui/login", *(f"/ui/{name}" for name in FILES)])
async def test_no_file_names_another_host_or_writes_what_others_say_as_markup(name: str) -> None:
    async with client(is_near=True) as near:
        text = (await near.get(name)).text
    named = set(re.findall(r"(?:https?:)?//[a-z0-9.]+\.[a-z]+[^\s\"']*", text))
    assert named <= {"http://www.w3.org/2000/svg"}  # a name space, which nobody fetches
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\son[a-z]+=|\sstyle=", text)
