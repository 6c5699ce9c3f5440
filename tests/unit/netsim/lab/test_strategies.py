"""The strategies' command lines, and that the command line knows every strategy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netsim.lab.cli import COMPARED, NAMES
from netsim.lab.rack.layout import RunId, lay_out
from netsim.lab.rack.plan import LabPlan
from netsim.lab.rack.processes import Crew
from netsim.lab.run.payload import load_payload
from netsim.lab.strategies.aria2 import aria2_command
from netsim.lab.strategies.by_name import STRATEGIES, strategy_named
from netsim.lab.strategies.https import nginx_configuration
from netsim.lab.strategies.strategy import NodeProgram, RunContext
from netsim.lab.strategies.torrent import ANNOUNCE_URL, Version, make_torrent
from swarmboot.errors import MalformedSettingError


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RunContext]:
    plan = LabPlan("https", 4, 1e6, 1000, racks=2, rack_uplink_bytes_per_s=1e6)
    with Crew() as crew:
        yield RunContext(plan, lay_out(plan, RunId(4242, 99)), load_payload(plan, tmp_path), tmp_path, crew)


def join(context: RunContext, strategy: str) -> NodeProgram:
    return STRATEGIES[strategy].join(context, context.layout.nodes[3])


def test_the_command_line_offers_every_strategy_there_is() -> None:
    assert tuple(STRATEGIES) == NAMES
    assert set(COMPARED) < set(NAMES)


def test_an_unknown_strategy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(MalformedSettingError, match="https or libtorrent"):
        strategy_named("carrier-pigeon")


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_a_node_receives_goes_to_the_folder_that_is_verified(context: RunContext, name: str) -> None:
    folder = str(context.node_folder(context.layout.nodes[3]))
    assert any(folder in argument for argument in join(context, name).argv)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_sign_of_completion_lies_outside_what_is_verified(context: RunContext, name: str) -> None:
    program, folder = join(context, name), context.node_folder(context.layout.nodes[3])
    assert program.done_path is None or folder not in program.done_path.parents


def test_a_leecher_announces_the_rack_it_stands_in(context: RunContext) -> None:
    argv = join(context, "swarmboot").argv
    assert argv[argv.index("--rack") + 1] == "rack1"
    assert "--linger" in argv


def test_nginx_keeps_all_of_its_files_in_the_runs_directory() -> None:
    text = nginx_configuration(Path("/run-dir/served"), listen="10.77.0.1:8443", tls=(Path("/c.pem"), Path("/c.key")))
    assert "root /run-dir/served;" in text
    assert text.count("_temp_path /run-dir/nginx-") == 5
    assert "pid /run-dir/nginx.pid;" in text


def test_aria2_goes_on_seeding_and_reads_nobodys_configuration() -> None:
    argv = aria2_command(Path("/t.torrent"), Path("/folder"), "--extra")
    assert {"--no-conf", "--seed-ratio=0.0", "--dir=/folder", "--extra"} <= set(argv)
    assert argv[-1] == "/t.torrent"


@pytest.mark.parametrize(("version", "mark"), [(Version.V1, b"6:pieces"), (Version.V2, b"9:file tree")])
def test_a_torrent_is_of_one_version_only_and_names_the_labs_tracker(
    context: RunContext, tmp_path: Path, version: Version, mark: bytes
) -> None:
    make_torrent(context.payload.image, tmp_path / "t", version)
    data = (tmp_path / "t").read_bytes()
    assert ANNOUNCE_URL.encode() in data
    assert [found for found in (b"6:pieces", b"9:file tree") if found in data] == [mark]
