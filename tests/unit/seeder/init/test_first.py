"""What a server needs before its first release: nothing of it is made for a name that cannot be written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from seeder.init.cli import init
from seeder.init.first import First, made_first
from swarmboot.errors import MalformedSettingError


def test_a_folder_that_no_file_of_options_can_hold_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    first = First(pxe="", dhcp_range="", notes=(), folder=Path("/srv/a\nb"), root=tmp_path)
    for is_dry in (True, False):
        with pytest.raises(MalformedSettingError, match="a file of options cannot hold this"):
            made_first(first, is_dry=is_dry)
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_bare_machines_that_is_made_again_is_said_to_be_kept(tmp_path: Path) -> None:
    first = First(pxe="", dhcp_range="", notes=(), folder=Path("/srv/swarmboot"), root=tmp_path)
    assert {step.state for step in made_first(first, is_dry=False)} == {"made"}
    assert {step.state for step in made_first(first, is_dry=False)} == {"kept"}
    (config,) = tmp_path.rglob("serve.toml")
    again = made_first(replace(first, pxe="eth1", dhcp_range="10.0.0.10,10.0.0.20"), is_dry=True)
    assert [step.path for step in again if step.state == "made"] == [config], "nothing is said in it yet"


def test_a_folder_is_the_same_for_the_file_of_options_as_where_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(init, ["--root", "new", "--pxe", "", "--folder", "racks", "--dry-run", "--json"])
    assert json.loads(done.output)["next"][0].startswith(f"swarmboot release init {tmp_path}/racks/release ")
