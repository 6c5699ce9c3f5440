"""Which mirror the sample release is built from."""

from __future__ import annotations

import pytest

from netsim.demo.debian import mirror_from

TARGETS = """\
Translations Debian main bookworm amd64 http://mirror.example/translations/
Packages Debian main bookworm-updates amd64 http://mirror.example/updates/
Packages Debian main bookworm-security amd64 http://mirror.example/security/
Packages Debian contrib bookworm amd64 http://mirror.example/contrib/
Packages Vendor main bookworm amd64 http://vendor.example/
Packages  main bookworm amd64 http://unnamed.example/
Packages Debian main bookworm amd64 cdrom://disc/
Packages Debian main bookworm amd64 http://mirror.example/debian/
Packages Debian main bookworm amd64 http://second.example/debian/
Packages Debian main bookworm arm64 http://mirror.example/ports/
"""


@pytest.mark.parametrize(
    ("codename", "architecture", "address"),
    [
        ("bookworm", "amd64", "http://mirror.example/debian/"),
        ("bookworm", "arm64", "http://mirror.example/ports/"),
        ("trixie", "amd64", ""),
    ],
)
def test_the_mirror_is_the_first_that_apt_takes_debians_main_packages_from(
    codename: str, architecture: str, address: str
) -> None:
    assert mirror_from(TARGETS, codename=codename, architecture=architecture) == address


def test_without_package_lists_there_is_no_mirror() -> None:
    assert mirror_from("", codename="bookworm", architecture="amd64") == ""
