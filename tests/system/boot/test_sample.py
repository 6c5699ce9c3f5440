"""The sample release where it is a real Debian: what its root is made of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netsim.demo.release import sample_release
from tests.system.vm.programs import run

pytestmark = [pytest.mark.root, pytest.mark.timeout(900), pytest.mark.needs("mmdebstrap", "mksquashfs", "unsquashfs")]


def packages_of(image: Path) -> set[str]:
    """Return the names of the packages that are installed in a root image."""
    status = run("unsquashfs", "-cat", str(image), "var/lib/dpkg/status")
    return set(re.findall("^Package: (.*)$", status, flags=re.MULTILINE))


def test_a_real_sample_has_what_boots_and_no_perl_that_merely_merged_its_usr() -> None:
    """findings/mmdebstrap-brings-usrmerge-and-perl.sh"""
    packages = packages_of(sample_release(say=print) / "rootfs.squashfs")
    assert {"systemd-sysv", "udev", "iproute2", "perl-base"} <= packages
    assert not {"usrmerge", "perl"} & packages
