"""A release's nodes/ from the folder to a node: really published, verified, served and fetched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from leecher.initramfs.own_files import own_root
from leecher.machine.identity import read_identity
from seeder.site.reader import read_unbelieved
from swarmboot.ids import Sequence
from swarmboot.release.manifest import Role
from swarmboot.release.profile import select
from swarmboot.settings import build_settings
from tests.support.loopback import Fleet, asking, booting, build_fleet, build_release, program, serving


@pytest.fixture
def release(tmp_path: Path) -> Path:
    release = build_release(tmp_path / "release", size_bytes=500_000)
    (release / "nodes/default/etc").mkdir(parents=True)
    (release / "nodes/default/etc/issue.tmpl").write_text("{hostname} in {rack}\n")
    (release / "release.toml").write_text('hostname = "node-{rack}"\n')
    return release


def published(fleet: Fleet, release: Path) -> str:
    done = program("swarmboot", "publish", "--force", release, "--site", fleet.site, "--key", fleet.key)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_node_fetches_the_overlays_with_its_images_and_takes_out_its_own(release: Path, tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path, release)
    with serving(fleet) as seeder, booting(tmp_path, 1, *asking(seeder, fleet), "--rack", "r12") as node:
        assert node.end()[0] == 0
        selection = select(read_unbelieved(fleet.site, Sequence(1)))
        assert [each.role for each in selection.artifacts] == [Role.ROOT, Role.PLUGIN, Role.NODES]
        settings = build_settings({"server": seeder.address, "rack": "r12"})
        said: list[str] = []
        found = own_root(selection, replace(settings, into=node.into), tell=said.append)
    expected = (("etc/hostname", b"node-r12\n"), ("etc/issue", b"node-r12 in r12\n"))
    assert tuple((file.path, file.data) for file in found.files) == expected
    assert said == ["this node gets 2 files of its own from default"]


def test_another_node_in_the_table_is_a_new_manifest_and_no_new_image(release: Path, tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path, release)
    assert "nothing changed" in published(fleet, release)
    old = read_unbelieved(fleet.site, Sequence(1))
    mac = next(iter(sorted(read_identity().macs)), "02:00:00:00:00:01")
    (release / "nodes/hosts.csv").write_text(f"mac,name\n{mac},web-1\n")
    assert "as manifest 2" in published(fleet, release)
    new = read_unbelieved(fleet.site, Sequence(2))
    assert [each for each in new.artifacts if each.role is not Role.NODES] == [*old.artifacts[:-1]]
    assert new.artifacts[-1].sha256 != old.artifacts[-1].sha256
    done = program("swarmboot", "verify", fleet.site, "--trust", fleet.pub)
    assert done.returncode == 0, done.stderr
    assert "belongs to no manifest" not in done.stdout


def test_a_release_whose_table_is_wrong_is_not_published(release: Path, tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path, release)
    (release / "nodes/hosts.csv").write_text("mac,name\n52:54:00,web-1\n52:54:00:12:34:56,a_b\n")
    done = program("swarmboot", "publish", "--force", release, "--site", fleet.site, "--key", fleet.key)
    assert done.returncode == 50
    assert "nodes/hosts.csv:2: mac '52:54:00' is none" in done.stderr
    assert "1 more are wrong" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_folder_is_no_name_that_publish_wonders_about(release: Path) -> None:
    done = program("swarmboot", "publish", "--check", "--force", release)
    assert "nodes is not published" not in done.stdout + done.stderr
