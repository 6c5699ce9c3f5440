"""What the tests that boot bare machines share: a LAN for each, and one tiny release for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.bare.rack import ODD_WORDS, QUOTED_WORD, BareRack, bare_rack, publish, tiny_initramfs
from tests.system.vm import images


@pytest.fixture(scope="session")
def tiny_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a site whose stage 0 is Debian's kernel and an initramfs that says what started it."""
    return publish(
        tmp_path_factory.mktemp("tiny"),
        kernel=images.debian_kernel().image,
        initramfs=tiny_initramfs(),
        cmdline=f"console=ttyS0 {ODD_WORDS} {QUOTED_WORD}",
    )


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[BareRack]:
    """Open a LAN without a DHCP server."""
    with bare_rack(tmp_path / "rack") as opened:
        yield opened
