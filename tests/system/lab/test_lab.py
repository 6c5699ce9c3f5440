"""Every strategy, as real programs over real shaped links: all nodes complete, verified, no faster than the wire."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.lazy import make_squashfs

pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "tc")]

LAB = (sys.executable, "-m", "swarmboot", "lab")
SMALL = ("--nodes", "4", "--rate", "100mbit", "--size", "4MiB", "--timeout", "150s")
BOUND_S = 240

curl = pytest.mark.skipif(shutil.which("curl") is None, reason="they need curl, not installed here")
https = pytest.param("https", marks=[pytest.mark.needs("nginx"), curl])
libtorrent = pytest.param("libtorrent")
aria2 = pytest.param("aria2", marks=pytest.mark.needs("aria2c"))
udpcast = pytest.param("udpcast", marks=pytest.mark.needs("udp-sender"))
swarmboot = pytest.param("swarmboot")


def lab(*arguments: str) -> Any:
    """Return what the lab prints as JSON."""
    done = subprocess.run([*LAB, *arguments, "--json"], capture_output=True, text=True, timeout=BOUND_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("strategy", [https, libtorrent, aria2, udpcast, swarmboot])
def test_every_node_holds_the_image_and_none_had_it_sooner_than_its_link_allows(strategy: str) -> None:
    result = lab("run", "--strategy", strategy, *SMALL)
    assert result["strategy"] == strategy
    assert result["verified_nodes"] == result["nodes"] == len(result["done_s"]) == 4
    assert 0 < result["first_s"] <= result["median_s"] <= result["last_s"]
    assert result["last_s"] >= result["limit_s"] == pytest.approx(4 * 2**20 / 12_500_000, abs=1e-3)
    assert result["server_copies"] >= 1
    assert result["cpu_s"] > 0
    assert result["peak_rss_bytes"] > 0


def test_machines_load_stage_0_from_nodes_that_still_fetch_their_images() -> None:
    mib, nodes, stage0, image = 2**20, 6, 8, 16
    sizes = ("--size", f"{image}MiB", "--stage0", f"{stage0}MiB", "--kernel", "0.3s")
    result = lab("run", "--strategy", "swarmboot+stage0", "--nodes", str(nodes), "--rate", "50mbit", *sizes)
    assert result["verified_nodes"] == nodes
    assert result["server_bytes"] < (image + (nodes - 0.5) * stage0) * mib


@curl
@pytest.mark.needs("nginx")
def test_plain_https_sends_one_copy_a_node_headers_counted() -> None:
    result = lab("run", "--strategy", "https", *SMALL)
    assert 4 * 1448 / 1514 < result["server_copies"] / 1.0456 < 4.2


@pytest.mark.needs("mksquashfs", "mount", "losetup")
def test_a_node_has_read_what_a_boot_reads_long_before_all_of_its_image_is_there(tmp_path: Path) -> None:
    make_squashfs(tmp_path / "release" / "rootfs.squashfs", files=90, seed=1)
    (tmp_path / "release" / "rootfs.tree").rename(tmp_path / "tree")
    trace = tmp_path / "trace"
    trace.write_text("".join(f"rootfs.squashfs {first} 70000\n" for first in (3_000_000, 0, 70_000, 1_000_000)))
    result = lab(
        "run",
        "--lazy",
        "--trace",
        str(trace),
        "--release",
        str(tmp_path / "release"),
        "--nodes",
        "2",
        "--rate",
        "8mbit",
    )
    assert result["verified_nodes"] == result["nodes"] == 2
    assert 0 < result["ready_first_s"] <= result["ready_median_s"] <= result["ready_last_s"] < result["first_s"]
    assert result["server_copies"] < 1.5
    assert result["pivot_ms"] > 0


@pytest.mark.needs("udp-sender")
def test_multicast_leaves_the_server_once_for_all() -> None:
    assert 1.0 < lab("run", "--strategy", "udpcast", *SMALL)["server_copies"] < 2.0


def test_every_rack_imports_at_least_one_copy_over_its_uplink() -> None:
    result = lab("run", "--strategy", "libtorrent", *SMALL, "--racks", "2", "--rack-uplink", "50mbit")
    assert result["verified_nodes"] == 4
    assert set(result["rack_uplink_bytes"]) == {"rack0", "rack1"}
    for counted in result["rack_uplink_bytes"].values():
        assert counted["down_bytes"] >= result["size_bytes"]
        assert counted["up_bytes"] > 0


@pytest.mark.parametrize(("nodes", "warm"), [(1, 4), (3, 1)])
def test_nodes_that_come_to_booted_ones_take_their_image_from_them(nodes: int, warm: int) -> None:
    result = lab("run", *SMALL, "--nodes", str(nodes), "--warm", str(warm))
    assert result["verified_nodes"] == result["nodes"] == nodes
    assert result["warm"] == warm
    assert result["bytes_from"]["origin"] == 0
    assert result["server_copies"] < 0.05


@curl
@pytest.mark.needs("nginx")
def test_staggered_nodes_start_one_after_the_other() -> None:
    result = lab("run", "--strategy", "https", "--nodes", "3", "--size", "1MiB", "--stagger", "1s")
    starts = [done - node for done, node in zip(result["done_s"], result["node_s"], strict=True)]
    assert all(start >= index * 0.999 for index, start in enumerate(starts))
    assert result["limit_s"] >= 2.0


@curl
@pytest.mark.needs("nginx")
def test_a_node_that_is_killed_holds_up_nobody() -> None:
    arguments = ("--nodes", "3", "--rate", "20mbit", "--size", "4MiB", "--kill-node", "1:500ms")
    result = lab("run", "--strategy", "https", *arguments)
    assert result["verified_nodes"] == 2
    assert [index for index, done in enumerate(result["done_s"]) if done is None] == [1]


@curl
@pytest.mark.needs("nginx")
def test_a_release_is_moved_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "rootfs.squashfs").write_bytes(b"root image" * 50_000)
    result = lab("run", "--strategy", "https", "--nodes", "2", "--release", str(tmp_path))
    assert result["size_bytes"] == 500_000
    assert result["verified_nodes"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["rootfs.squashfs"]


@curl
@pytest.mark.needs("nginx")
def test_a_comparison_is_a_list_of_runs_in_the_order_asked_for() -> None:
    results = lab("compare", *SMALL, "--strategy", "libtorrent", "--strategy", "https")
    assert [result["strategy"] for result in results] == ["libtorrent", "https"]
