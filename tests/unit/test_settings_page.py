"""The page of settings is what the table says, and nothing else."""

from __future__ import annotations

from click.testing import CliRunner

from seeder.hook.cli import hook
from tests.support.tree import DOCS

PAGE = DOCS / "settings.md"


def test_the_page_of_settings_is_current() -> None:
    printed = CliRunner().invoke(hook, ["settings"]).output
    assert printed == PAGE.read_text(), "run: swarmboot hook settings >docs/settings.md"
