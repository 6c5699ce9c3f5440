"""Manual pages made from the help: one for each verb, all that its help says, and nothing that roff would trip over."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from swarmboot.cli import swarmboot
from swarmboot.man_pages import man_page, walk, write_pages
from tests.unit.test_verbs import FOUND

DAY = "2026-11-29"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {path.stem: path for path in write_pages(tmp_path_factory.mktemp("man"), day=DAY)}


def shown(path: Path) -> str:
    """Return a page as a reader sees it, on one line."""
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-rLL=9000n", "-P-cbou", path], capture_output=True, text=True, check=True
    )
    return " ".join(done.stdout.split())


def test_every_verb_and_group_has_a_page(pages: dict[str, Path]) -> None:
    assert pages.keys() == {"-".join(("swarmboot", *path)) for path in FOUND}


@pytest.mark.needs("groff")
def test_a_page_says_what_the_help_says(pages: dict[str, Path]) -> None:
    text = shown(pages["swarmboot-serve"])
    for parameter in FOUND["serve",].params:
        if isinstance(parameter, click.Option):
            assert max(parameter.opts, key=len) in text
            assert " ".join((parameter.help or "").split()) in text
    assert "swarmboot serve [OPTIONS] [SITE]" in text
    assert "SWARMBOOT_SERVE_LISTEN as --listen" in text
    assert "[default: 0.0.0.0:8470]" in text
    assert "swarmboot serve site/ --pxe eth1 --dhcp-range 10.0.0.100,10.0.0.250" in text
    assert "swarmboot-unit-install (1), swarmboot-unit-show (1)" in shown(pages["swarmboot-unit"]).replace(
        "(1)", " (1)"
    )


@pytest.mark.needs("groff")
def test_groff_has_no_warning_for_any(pages: dict[str, Path]) -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z", *pages.values()], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.needs("mandoc")
def test_mandoc_finds_nothing_to_say_of_any(pages: dict[str, Path]) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "style", *pages.values()], capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""


def test_a_hostile_help_text_is_text() -> None:
    @click.command()
    @click.option("--odd", help=".so /etc/passwd \\\\fBbold 'quoted' `ticked` ~ ^ \u00e9")
    def odd() -> None:
        """.so /etc/passwd

        'br is no request, and \\\\n(.x is no register
        """

    text = man_page(odd, ("x",), day=DAY)
    assert not re.search(r"(?m)^[.'](?:so|br)", text)
    assert "\\en(.x" in text
    assert "\\[u00E9]" in text


def test_hidden_verbs_have_no_page() -> None:
    group = click.Group("g", commands={"seen": click.Command("seen"), "unseen": click.Command("unseen", hidden=True)})
    assert [path for path, _ in walk(group, ("g",))] == [("g",), ("g", "seen")]
    assert len(dict(walk(swarmboot, ("swarmboot",)))) == len(FOUND)
