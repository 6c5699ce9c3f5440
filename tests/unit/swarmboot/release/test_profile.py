"""Which nodes get what: by name, by MAC address, by DMI, or the whole release."""

from __future__ import annotations

import pytest

from swarmboot.errors import MalformedSettingError
from swarmboot.release.manifest import Manifest, Profile, Role
from swarmboot.release.profile import Identity, select
from tests.support.builders import build_artifact, build_manifest, build_plugin

ROOT, FIRST, SECOND = build_artifact(), build_plugin("10-a.squashfs"), build_plugin("20-b.squashfs")
KERNEL = build_artifact("vmlinuz", role=Role.KERNEL)
MAC = Identity(macs=frozenset({"52:54:00:12:34:56", "02:00:00:00:00:01"}))


def manifest(*profiles: Profile) -> Manifest:
    return build_manifest(artifacts=(KERNEL, ROOT, FIRST, SECOND), env={"A": "1", "B": "2"}, profiles=profiles)


def test_without_profiles_a_node_gets_the_root_image_and_all_plugins_in_order() -> None:
    found = select(manifest())
    assert found.artifacts == (ROOT, FIRST, SECOND)
    assert found.size_bytes == 3_000_000
    assert (found.profile, found.env) == ("", {"A": "1", "B": "2"})


def test_a_profile_is_chosen_by_name_and_its_settings_win() -> None:
    found = select(manifest(Profile("gpu", plugins=("20-b.squashfs",), env={"B": "3", "C": "4"})), name="gpu")
    assert found.artifacts == (ROOT, SECOND)
    assert found.env == {"A": "1", "B": "3", "C": "4"}


def test_plugins_are_stacked_in_the_releases_order_whatever_the_profile_says() -> None:
    found = select(manifest(Profile("a", plugins=("20-b.squashfs", "10-a.squashfs"))), name="a")
    assert found.artifacts == (ROOT, FIRST, SECOND)


def test_a_profile_may_want_no_plugins_at_all() -> None:
    assert select(manifest(Profile("bare", plugins=())), name="bare").artifacts == (ROOT,)


def test_an_unknown_profile_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(MalformedSettingError, match="expected one of: a, b, found 'c'"):
        select(manifest(Profile("a"), Profile("b")), name="c")


@pytest.mark.parametrize(
    ("profile", "identity", "is_chosen"),
    [
        (Profile("p", macs=("52:54:00:12:34:56",)), MAC, True),
        (Profile("p", macs=("52:54:00:*",)), MAC, True),
        (Profile("p", macs=("52:54:00:AB:*", "02:00:*")), MAC, True),
        (Profile("p", macs=("52:54:01:*",)), MAC, False),
        (Profile("p", macs=("*",)), Identity(), False),
        (Profile("p", dmi={"sys_vendor": "ACME*"}), Identity(dmi={"sys_vendor": "ACME Corp"}), True),
        (Profile("p", dmi={"sys_vendor": "ACME*"}), Identity(dmi={"sys_vendor": "Other"}), False),
        (Profile("p", dmi={"sys_vendor": "ACME*"}), Identity(), False),
        (Profile("p", macs=("52:54:*",), dmi={"sys_vendor": "ACME"}), MAC, False),
        (Profile("p"), MAC, False),
    ],
)
def test_a_node_is_matched_by_all_that_a_profile_asks(profile: Profile, identity: Identity, is_chosen: bool) -> None:
    assert select(manifest(profile), identity=identity).profile == ("p" if is_chosen else "")


def test_the_first_profile_that_matches_is_taken() -> None:
    profiles = (Profile("a", macs=("aa:*",)), Profile("b", macs=("52:*",)), Profile("c", macs=("52:54:*",)))
    assert select(manifest(*profiles), identity=MAC).profile == "b"
