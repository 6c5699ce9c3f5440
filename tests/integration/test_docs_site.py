"""The documentation as a site: built without a warning, whole, and fit to be read on a desk and on a phone."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from swarmboot import errors
from tests.docs.build import build, sphinx
from tests.docs.staging import SECTIONS, write_configuration
from tests.docs.tables import parts_of

LOADED = re.compile(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]+)"|<link\b[^>]*\bhref="([^"]+)"|url\(([^)]+)\)')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "site"
    done = build(out)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_there_and_so_is_what_is_made_from_code(site: Path) -> None:
    named = {name.removesuffix(".md") for names in SECTIONS.values() for name in names}
    missing = {name for name in named if not (site / f"{name}.html").is_file()}
    assert missing <= LATER, missing
    commands = (site / "reference/commands.html").read_text()
    for words in ("swarmboot canary set", "swarmboot hook build-initramfs", "--stage0-trust"):
        assert words in commands
    assert errors.ThresholdError.__name__ in (site / "reference/statuses.html").read_text()
    figures = (site / "reference/metrics.html").read_text()
    assert "swarmboot_stage0_turns_total" in figures
    assert "swarmboot_boots_failed_total" in figures


LATER = {"docs/debian-live", "docs/boards"}
"""Pages that may not be written yet."""


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in (*site.rglob("*.html"), *site.rglob("*.css")):
        loaded = {next(filter(None, found)).strip("\"'") for found in LOADED.findall(page.read_text())}
        assert not {each for each in loaded if re.match(r"(https?:)?//", each)}, page


def test_a_link_that_leads_nowhere_fails(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_configuration(source)
    (source / "there.md").write_text("# There\n")
    links = "[a](other.md) [b](there.md#no-such) ![c](no.png)"
    (source / "index.md").write_text(f"# Top\n\n{links}\n\n```{{toctree}}\nthere\n```\n")
    done = sphinx(source, tmp_path / "out")
    assert done.returncode != 0
    for name in ("other.md", "no-such", "no.png"):
        assert name in done.stderr


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a folder on loopback; yield its address."""

    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


TABLES_BEYOND = (
    "[...document.querySelectorAll('.table-wrapper')].filter(each => each.scrollWidth > each.clientWidth + 1).length"
)


def test_long_words_in_tables_break_where_their_parts_meet(site: Path) -> None:
    assert parts_of("tests/unit/x.py::test_a_b") == ["tests/", "unit/", "x.py::", "test_", "a_", "b"]
    assert parts_of("--fleet-token=/etc/x y") == ["--fleet-token=/", "etc/", "x ", "y"]
    assert "".join(parts_of("https://10.0.0.1:8470")) == "https://10.0.0.1:8470"
    assert parts_of("swarmboot.fleet_token", 24) == ["swarmboot.fleet_token"]
    rows = re.findall(r"<tr.*?</tr>", (site / "docs/threat-model.html").read_text(), re.DOTALL)
    words = re.split(r"\s+|<wbr>|</?[a-z][^>]*>", "".join(rows))
    assert max(map(len, words)) <= LONGEST, max(words, key=len)
    settings = (site / "docs/settings.html").read_text()
    assert '<span class="pre">swarmboot.fleet_token</span>' in settings


LONGEST = 40


@pytest.mark.needs("chromium", "chromedriver")
def test_no_page_is_wider_than_a_screen_or_a_phone(site: Path) -> None:
    from tests.support.browser import browsing

    pages = ["index", "README", "docs/tutorial", "docs/settings", "docs/threat-model", "reference/commands"]
    with served(site) as address, browsing() as browser:
        for width in (1440, 390):
            browser.look(width=width)
            for page in pages:
                browser.open(f"{address}/{page}.html")
                beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                assert browser.script(f"return {beyond}") <= 0, (page, width)
                assert browser.text("h1"), page
                if width == 1440:  # with room for its words, none of which is cut in the middle
                    assert browser.script(f"return {TABLES_BEYOND}") == 0, page
        assert browser.hosts() == {address.removeprefix("http://")}
