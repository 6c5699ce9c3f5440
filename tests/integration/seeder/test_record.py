"""The record of a running seeder: what real nodes and simulated ones say, told over its API, kept over a restart."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from seeder.http.crowd import Crowd
from seeder.log import Log
from seeder.policy.facts.registry import Registry
from seeder.policy.limits import Limits
from seeder.policy.tracker import Tracker
from seeder.record.access import read_ui_token
from seeder.serve.app import SeederApp
from seeder.site.catalogue import Catalogue
from tests.support.loopback import Fleet, Seeder, asking, booting, build_fleet, build_release, serving
from tests.support.waiting import wait_until

Values = dict[str, Any]


ENDING = {"authority", "certificate", "manifest"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("record")
    return build_fleet(folder, build_release(folder / "release", size_bytes=400_000))


@pytest.fixture(scope="module")
def running(fleet: Fleet) -> Iterator[Seeder]:
    with serving(fleet) as seeder:
        yield seeder


def get(seeder: Seeder, path: str, **headers: str) -> Values:
    context = ssl.create_default_context(cafile=str(seeder.ca))
    request = urllib.request.Request(f"{seeder.address}{path}", headers=headers)
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
        found: Values = json.load(answer)
    return found


def eventually(seeder: Seeder, path: str, is_right: Callable[[Values], bool]) -> Values:
    def look() -> Values | None:
        found = get(seeder, path)
        return found if is_right(found) else None

    return wait_until(f"the right answer of {path}", look, process=seeder.process, seen=lambda: get(seeder, path))


@contextmanager
def events(seeder: Seeder) -> Iterator[Iterator[tuple[str, Values]]]:
    context = ssl.create_default_context(cafile=str(seeder.ca))
    with urllib.request.urlopen(f"{seeder.address}/api/events", context=context, timeout=30) as answer:

        def told() -> Iterator[tuple[str, Values]]:
            name = ""
            for raw in answer:
                line = raw.decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    yield name, json.loads(line[6:])

        yield told()


def test_real_nodes_are_seen_from_their_first_announce_until_they_are_up_and_after_a_restart(
    fleet: Fleet, tmp_path: Path
) -> None:
    with serving(fleet) as seeder:
        with (
            events(seeder) as told,
            booting(tmp_path, 1, *asking(seeder, fleet), "--linger", "on", "--rack", "r1") as one,
        ):
            one.report()
            found = eventually(seeder, "/api/fleet", lambda fleet: fleet["nodes"]["up"] == 1)
            assert found["releases"][0]["nodes"] == 1
            assert found["copies_sent"] >= 1.0
            assert {word.strip(",") for each in found["ends"] for word in each["what"].split()} >= ENDING
            (node,) = get(seeder, "/api/nodes?state=up&rack=r1")["nodes"]
            assert (node["address"], node["percent"], node["release"], node["channel"]) == (
                "127.0.0.2",
                100,
                1,
                "stable",
            )
            assert node["bytes_from"]["origin"] >= 400_000
            story = get(seeder, "/api/nodes/127.0.0.2")
            assert {"leecher_start", "images", "verification"} <= {phase["name"] for phase in story["phases"]}
            assert story["kernel"]
            assert story["ram_bytes"] > 1 << 20
            seen = next(values for name, values in told if name == "nodes" and values["nodes"])
            assert seen["nodes"][0]["id"] == node["id"]
            wait_until(
                "a boot in the history", lambda: bool(get(seeder, "/api/history")["boots"]), process=seeder.process
            )
        assert seeder.stop() == 0
    with serving(fleet) as seeder:
        again = get(seeder, "/api/nodes/127.0.0.2")
        assert again["id"] == node["id"]
        assert again["phases"] == story["phases"]


def test_a_node_that_asks_for_a_channel_that_is_not_there_is_stuck_and_says_which_there_are(
    fleet: Fleet, running: Seeder, tmp_path: Path
) -> None:
    with booting(tmp_path, 8, *asking(running, fleet), "--channel", "edgy"):
        found = eventually(running, "/api/nodes?state=stuck", lambda values: bool(values["nodes"]))
        assert found["nodes"][0]["cause"] == "asked for channel edgy; this site has stable"
        assert found["nodes"][0]["address"] == "127.0.0.9"


def test_what_is_asked_wrongly_is_refused_in_words(running: Seeder) -> None:
    for path, status in (
        ("/api/nodes?state=dead", 400),
        ("/api/history?limit=0", 400),
        ("/api/history?limit=99999999999999999999", 400),
        ("/api/history?limit=0000000019999", 400),
        ("/api/nodes/", 404),
        ("/api/logs/", 404),
        ("/api/nodes/nobody", 404),
        ("/api/nodes/%00%ff", 404),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(running, path)
        with refused.value as answer:
            assert answer.code == status
            assert json.load(answer)["error"]


def test_only_so_many_listen_at_once_and_who_hangs_up_makes_room(running: Seeder) -> None:
    with ExitStack() as stack:
        for _ in range(16):
            next(stack.enter_context(events(running)))
        with pytest.raises(urllib.error.HTTPError) as refused, events(running):
            pass
        with refused.value as answer:
            assert answer.code == 503

    def has_room() -> bool | None:
        try:
            with events(running) as told:
                return next(told)[0] == "fleet"
        except urllib.error.HTTPError as error:
            error.close()
            return None

    wait_until("room for one more listener", has_room, process=running.process)


@pytest.mark.parametrize("path", ["/api/fleet", "/api/nodes", "/api/nodes/x", "/api/history", "/api/events"])
async def test_a_stranger_is_told_nothing_of_the_fleet_without_the_token(
    fleet: Fleet, tmp_path: Path, path: str
) -> None:
    secret = tmp_path / "ui.token"
    secret.write_text("0123456789abcdef\n")
    registry = Registry()
    tracker = Tracker(registry, Limits(uplink_bytes_per_s=1e6), random=Random(16))
    catalogue = Catalogue(fleet.site, registry)
    app = SeederApp(tracker, catalogue, Log(), crowd=Crowd(), ui_token=read_ui_token(secret))

    async def ask(authorization: str) -> int:
        said: list[Any] = []
        headers = [(b"authorization", authorization.encode())] if authorization else []
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}

        async def send(message: Any) -> None:
            said.append(message)

        async def hang_up() -> Any:
            return {"type": "http.disconnect"}

        ends = {"client": ("10.0.0.66", 5), "server": ("10.0.0.1", 8470)}
        await app.application()({**scope, **ends}, hang_up, send)
        return int(said[0]["status"])

    assert await ask("") == 403
    assert await ask("Bearer 0123456789abcdeg") == 403
    assert await ask("Bearer 0123456789abcdef") == (404 if path.endswith("/x") else 200)
