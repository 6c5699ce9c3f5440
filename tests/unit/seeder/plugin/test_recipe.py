"""Recipes as people write them, and as Coinboot has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.plugin.recipe import read_recipe
from swarmboot.errors import RecipeError, UnreadableError

COINBOOT = """
---
# a comment, as theirs begin
plugin: Telegraf
archive_name: telegraf
version: 1.10
description: The plugin-driven server agent for collecting & reporting metrics.
maintainer: Somebody <somebody@example.org>
source: https://example.org/telegraf
run: |
  set -e -x

  sudo tee /etc/telegraf.conf << 'EOF'
  [[outputs.influxdb_v2]]
    token = "${INFLUX_TOKEN}"
  EOF
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_recipe_of_coinboots_is_taken_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    recipe = read_recipe(write(tmp_path / "plugins/src/telegraf/telegraf.yaml", COINBOOT))
    assert recipe.name == "telegraf_1.10"
    assert recipe.script.startswith("#!/bin/bash -e\nset -e -x\n")
    assert 'token = "${INFLUX_TOKEN}"\nEOF\n' in recipe.script
    assert recipe.beside == tmp_path / "plugins"
    assert recipe.about["plugin"] == "Telegraf"


def test_a_script_is_run_by_what_its_first_line_names(tmp_path: Path) -> None:
    named = read_recipe(write(tmp_path / "my plugin.py", "#!/usr/bin/python3\nprint()\n"))
    assert (named.name, named.script[:18]) == ("my-plugin.py", "#!/usr/bin/python3")
    plain = read_recipe(write(tmp_path / "nginx.sh", "apt-get install -y nginx\n"))
    assert (plain.name, plain.script) == ("nginx", "#!/bin/sh -e\napt-get install -y nginx\n")
    assert plain.beside == tmp_path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plugin: x\n", "says nothing to run"),
        ("- a\n- b\n", "says nothing to run: expected .*, found no map"),
        ("run: ''\n", "says nothing to run"),
        ("run: x\nruns: y\n", "a key that is not known: .*, found runs"),
        ("run: x\nversion: [1, 2]\n", "version is no text"),
        ("run: x\n  y: :\n", "is no YAML"),
        ("a: &a [*a]\nrun: x\n", "is no YAML"),
    ],
)
def test_yaml_that_is_no_recipe_is_refused(tmp_path: Path, text: str, words: str) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(RecipeError, match=words):
        read_recipe(write(tmp_path / "x.yaml", text))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"\x7fELF\0\0")
    with pytest.raises(RecipeError, match="is no recipe"):
        read_recipe(tmp_path / "program")
    with pytest.raises(RecipeError, match="is empty"):
        read_recipe(write(tmp_path / "empty", "\n"))
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_recipe(tmp_path / "nowhere")
