"""The live page in a real browser, on a real seeder and its real API, with simulated nodes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.browser import Browser, browsing
from tests.support.loopback import Fleet, Seeder, build_fleet, build_release, serving
from tests.support.racks.simulated_fleet import SimulatedFleet, build_nodes

pytestmark = pytest.mark.needs("chromium", "chromedriver")

TOKEN = "0123456789abcdef0123456789abcdef"
MARKUP = "<img src=x onerror=document.title='owned'>"
LEVELS = "[...document.querySelectorAll('.rack .cell')].map((cell) => parseInt(cell.style.getPropertyValue('--level')))"
FIRST = "document.querySelector('#trouble-list li')?.innerText"
SEEDERS = 7
"""One for each test."""

WATCH_FRAMES = """
window.frames = []; window.longTasks = [];
new PerformanceObserver((list) => list.getEntries().forEach((each) => longTasks.push(each.duration)))
  .observe({type: 'longtask'});
let last = performance.now();
(function next(now) { frames.push(now - last); last = now; requestAnimationFrame(next); })(last);
"""


def tell_frames(frames_ms: list[float], long_ms: list[float]) -> str:
    """Return how long frames took, and how many tasks held one up for 50 ms or more (the Long Tasks API)."""
    ranked = sorted(frames_ms)
    middle, most = ranked[len(ranked) // 2], ranked[len(ranked) * 99 // 100]
    return (
        f"{len(ranked)} frames, half within {middle:.0f} ms, 99 of 100 within {most:.0f} ms, the longest "
        f"{ranked[-1]:.0f} ms; {len(long_ms)} long tasks{f', the longest {max(long_ms):.0f} ms' if long_ms else ''}"
    )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("ui")
    (folder / "ui.token").write_text(f"{TOKEN}\n")
    (folder / "ui.token").chmod(0o600)
    return build_fleet(folder, build_release(folder / "release", size_bytes=4_000_000))


@dataclass(frozen=True, slots=True)
class Ready:
    """What the tests use, all of it started at once: a seeder for each, a browser, and one that notes its tasks."""

    seeders: Iterator[Future[Seeder]]
    window: Future[Browser]
    traced: Future[Browser]


@pytest.fixture(scope="module")
def ready(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    with ExitStack() as stack, ThreadPoolExecutor(SEEDERS + 2) as pool:

        def serve(state: Path) -> Seeder:
            token = ("--ui-token", str(fleet.folder / "ui.token"))
            seeder = stack.enter_context(serving(fleet, "--state", str(state), *token))
            return Seeder(seeder.process, seeder.address, state / "ca.pem", seeder.lines)

        window = pool.submit(lambda: stack.enter_context(browsing()))
        states = [tmp_path_factory.mktemp("state") for _ in range(SEEDERS)]
        seeders = [pool.submit(serve, state) for state in states]
        traced = pool.submit(lambda: stack.enter_context(browsing(is_traced=True)))
        yield Ready(iter(seeders), window, traced)
        for seeder in seeders:
            seeder.result().process.terminate()  # all of them first: each takes its time to end


@pytest.fixture
def browser(ready: Ready) -> Browser:
    window = ready.window.result()
    window.open("about:blank")
    window.block()
    window.look()
    window.complaints()
    window.hosts()
    return window


@pytest.fixture
def seeder(ready: Ready) -> Seeder:
    return next(ready.seeders).result()


def assert_it_kept_to_itself(browser: Browser, seeder: Seeder) -> None:
    assert browser.complaints() == []
    assert browser.hosts() == {urlsplit(seeder.address).netloc}


def test_nodes_fill_and_the_one_that_fails_stands_first_with_its_cause(
    browser: Browser, seeder: Seeder, fleet: Fleet
) -> None:
    nodes = build_nodes(30)
    with SimulatedFleet(seeder, fleet) as simulated:
        browser.open(f"{seeder.address}/ui/")
        browser.until("document.querySelector('#way').dataset.way == 'live'")
        for node in nodes * 2:
            node.have += 0.25
            simulated.announce(node)
        browser.until("document.querySelectorAll('.rack .cell[data-look=images]').length == 30")
        browser.until(f"{LEVELS}.every((level) => level >= 40 && level <= 60)")
        for node in nodes[:20]:
            simulated.verified(node)
            simulated.booted(node)
        simulated.ask("127.9.0.1", "GET", "/channels/edgy.swarm")
        browser.until(f"{FIRST}?.includes('asked for channel edgy')")
        simulated.failed(nodes[29], "the images need 2.1 GB, and this machine has 1.0 GB", 61)
        browser.until(f"{FIRST}?.includes('the images need 2.1 GB')")
        browser.until(
            "document.querySelector('#verdict').innerText.startsWith('20 of 31 nodes are up; 1 failed, 1 stuck')"
        )
        assert browser.text("#trouble-list li:nth-child(2)").startswith("!")
        label = browser.script("return document.querySelector('.cell[data-look=failed]:is(button)').ariaLabel")
        assert label.startswith("node-030, rack r01, failed, ")
        assert "release" in browser.text("#releases")
        assert all(what in browser.text("#ends") for what in ("authority", "certificate", "manifest"))
        assert_it_kept_to_itself(browser, seeder)


def test_machines_that_have_no_address_are_told_above_the_nodes(browser: Browser, seeder: Seeder) -> None:
    browser.open(f"{seeder.address}/ui/")
    browser.until("document.querySelector('#way').dataset.way == 'live'")
    assert browser.script("return document.querySelector('#addressless').hidden")
    tell = """return import('/ui/summary.js').then((page) => {
        page.tellAddressless(arguments[0]);
        return [addressless.hidden, addressless.innerText];
    })"""
    macs = [f"52:54:00:00:00:0{number}" for number in range(5)]
    hidden, said = browser.script(tell, {"total": 5, "macs": macs})
    assert not hidden
    assert said.startswith(f"DHCP has no address left for 5 machines ({', '.join(macs[2:])}, …): give a larger")
    assert browser.script(tell, {"total": 0, "macs": []})[0]
    assert_it_kept_to_itself(browser, seeder)


def test_a_waterfall_is_opened_walked_and_closed_by_keyboard(browser: Browser, seeder: Seeder, fleet: Fleet) -> None:
    with SimulatedFleet(seeder, fleet) as simulated:
        for node in build_nodes(90):
            simulated.announce(node)
            simulated.verified(node)
        browser.open(f"{seeder.address}/ui/")
        browser.until("document.querySelectorAll('.rack .cell').length == 90")
        browser.script("document.querySelector('.rack .cell[tabindex=\"0\"]').focus()")
        browser.press(Keys.ARROW_RIGHT, Keys.PAGE_DOWN, Keys.ARROW_RIGHT)
        assert browser.script("return document.activeElement.ariaLabel").startswith("node-042, rack r02")
        browser.press(Keys.ENTER)
        browser.until("document.querySelectorAll('#story[open] .falls li').length >= 5")
        assert browser.text("#story-name") == "node-042"
        shown = browser.text("#story")
        assert "fetches images" in shown
        assert "from the origin" in shown
        assert browser.script("return document.querySelector('#story').contains(document.activeElement)")
        browser.press(Keys.ESCAPE)
        browser.until("!document.querySelector('#story').open")
        assert browser.script("return document.activeElement.ariaLabel").startswith("node-042")
        browser.press("/", *"r03")
        browser.until("document.querySelectorAll('.rack .cell.dim').length == 80")
        assert browser.text("#found") == "10 nodes of 90 shown"
        assert_it_kept_to_itself(browser, seeder)


def test_what_a_node_says_of_itself_stays_text(browser: Browser, seeder: Seeder, fleet: Fleet) -> None:
    (node,) = build_nodes(1)
    node.rack = MARKUP
    with SimulatedFleet(seeder, fleet) as simulated:
        simulated.announce(node)
        simulated.failed(node, f"no such file: {MARKUP}", 60)
        browser.open(f"{seeder.address}/ui/")
        browser.until(f"{FIRST}?.includes('onerror')")
        browser.script("document.querySelector('#trouble-list button').click()")
        browser.until("document.querySelector('#story-body .faults')?.innerText.includes('onerror')")
        assert f"rack {MARKUP}" in browser.text("#story-where")
        assert browser.script("return document.images.length") == 1  # the page's own
        assert "owned" not in browser.driver.title
        assert_it_kept_to_itself(browser, seeder)


def test_the_page_polls_without_events_and_comes_back_to_a_seeder_that_comes_back(
    browser: Browser, seeder: Seeder, fleet: Fleet
) -> None:
    one, two, three = build_nodes(3)
    browser.hasten(10)
    way = "document.querySelector('#way').dataset.way"
    port = str(urlsplit(seeder.address).port)
    browser.block("*/api/events")
    browser.open(f"{seeder.address}/ui/")
    browser.until(f"{way} == 'polling'")
    with SimulatedFleet(seeder, fleet) as simulated:
        simulated.announce(one)
        browser.until("document.querySelectorAll('.rack .cell').length == 1")
        browser.block()
        browser.until(f"{way} == 'live'")
        simulated.announce(two)
        browser.until("document.querySelectorAll('.rack .cell').length == 2")
    assert seeder.stop() == 0
    browser.until(f"{way} == 'lost'")
    assert "no answer since" in browser.text("#way")
    state = seeder.ca.parent
    with serving(fleet, "--state", str(state), "--listen", f"127.0.0.1:{port}") as again:
        again = Seeder(again.process, again.address, seeder.ca, again.lines)
        browser.until(f"{way} == 'live'")
        with SimulatedFleet(again, fleet) as simulated:
            simulated.announce(three)
            browser.until("document.querySelectorAll('.rack .cell').length == 3")


def test_whoever_brings_the_token_signs_in_and_out(browser: Browser, seeder: Seeder) -> None:
    browser.open(f"{seeder.address}/ui/login")
    browser.press(*"not the token at all", Keys.ENTER)
    browser.until("document.querySelector('.wrong')?.innerText == 'That is not the token.'")
    browser.complaints()  # the browser notes the status of the form's answer
    browser.press(*TOKEN, Keys.ENTER)
    browser.until("document.querySelector('#verdict')")
    (cookie,) = browser.driver.get_cookies()
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    assert TOKEN not in cookie["value"]
    browser.script("document.querySelector('form button').click()")
    browser.until("document.querySelector('#token')")
    assert browser.driver.get_cookies() == []
    assert_it_kept_to_itself(browser, seeder)


def test_two_thousand_nodes_that_all_change_leave_no_frame_out(ready: Ready, seeder: Seeder, fleet: Fleet) -> None:
    """No task of the page takes 100 ms of a processor: its own time, whatever else the machine does meanwhile."""
    nodes = build_nodes(2000, own_addresses=False)
    browser = ready.traced.result()
    with SimulatedFleet(seeder, fleet) as simulated:
        simulated.announce_all(nodes)
        browser.look()
        browser.open(f"{seeder.address}/ui/")
        browser.until("document.querySelectorAll('.rack .cell').length == 2000")
        browser.until("document.querySelector('.rack:last-child h3').innerText.includes('0 of 40 up')")
        browser.script(WATCH_FRAMES)
        since_s = time.monotonic()
        for node in nodes:
            node.have = 0.5
        simulated.announce_all(nodes)
        browser.until(f"{LEVELS}.filter((level) => level >= 45).length > 900", every_s=1.0)
        tasks_ms = browser.tasks_ms(since_s=since_s)
        print(f"{len(tasks_ms)} tasks, the longest {max(tasks_ms):.0f} ms, {sum(tasks_ms):.0f} ms in all")
        print(f"on the wall clock: {tell_frames(*browser.script('return [window.frames, window.longTasks]'))}")
        assert len(tasks_ms) > 50
        assert max(tasks_ms) < 100
