"""A site that is deleted and published anew under a running seeder, with the numbers that it had before."""

from __future__ import annotations

from pathlib import Path

from tests.support.loopback import asking, booting, build_fleet, build_release, program, serving, status


def test_a_site_made_anew_under_a_running_seeder_is_served_and_leased_at_once(tmp_path: Path) -> None:
    release = build_release(tmp_path / "release")
    fleet = build_fleet(tmp_path / "fleet", release)
    changed = build_release(tmp_path / "changed", seed=2)
    other = tmp_path / "other"  # put in its place whole, so that the seeder does not see it empty for a moment
    assert program("swarmboot", "publish", changed, "--site", other, "--key", fleet.key, "--force").returncode == 0
    with serving(fleet) as seeder:
        fleet.site.rename(tmp_path / "aside")
        other.rename(fleet.site)
        seeder.wait_for_line("the site was made anew")
        seeder.wait_for_line("manifest 1 (")
        with booting(tmp_path, 1, *asking(seeder, fleet), "--linger") as node:
            report = node.report()
            assert node.digests() == fleet.digests(changed)
            assert status(seeder)["nodes"] == 1, "the seeder does not take the node's announces"
    assert report["rescues"] == 0, "it was leased nothing"
