"""dpkg's list of packages with what plugins add to it."""

from __future__ import annotations

import pytest

from seeder.coinboot.dpkg_status import merge, stanzas
from swarmboot.errors import ReleaseError

A = "Package: a\nArchitecture: amd64\nVersion: 1\n"
ROOT = f"{A}\nPackage: b\nArchitecture: all\nVersion: 1\nConffiles:\n /etc/b 0\n\n"


def test_a_plugins_package_goes_over_the_roots_in_its_place_and_a_new_one_behind() -> None:
    merged = merge(ROOT, {"x": "\n\nPackage: c\nArchitecture: all\n\n\nPackage: a\nArchitecture: amd64\nVersion: 2\n"})
    assert [(key[0], "Version: 2" in text) for key, text in stanzas(merged, where="m").items()] == [
        ("a", True), ("b", False), ("c", False),
    ]  # fmt: skip
    assert "Conffiles:\n /etc/b 0\n" in merged


def test_of_two_plugins_the_later_one_wins() -> None:
    merged = merge(
        ROOT, {"10": "Package: a\nArchitecture: amd64\nVersion: 2", "20": "Package: a\nArchitecture: amd64\nVersion: 3"}
    )
    assert "Version: 3" in merged
    assert "Version: 2" not in merged


def test_a_package_of_two_machine_types_is_two_packages() -> None:
    merged = merge(ROOT, {"x": "Package: a\nArchitecture: i386\nVersion: 1"})
    assert [key for key in stanzas(merged, where="m") if key[0] == "a"] == [("a", "amd64"), ("a", "i386")]


def test_what_is_no_list_of_packages_is_refused_by_name() -> None:
    with pytest.raises(ReleaseError, match="plugins/x is no list"):
        merge(ROOT, {"plugins/x": "hello"})
