"""For which machine a kernel says it is; what says nothing is of none."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.initramfs.kernel import machine_of
from tests.support.live import kernel_bytes

_ARM64 = bytes(0x38) + b"ARM\x64" + bytes(1 << 12)


@pytest.mark.parametrize(
    ("data", "machine"), [(kernel_bytes(), "x86-64"), (_ARM64, "arm64"), (b"no kernel" * 99, ""), (b"", "")]
)
def test_a_kernel_says_for_which_machine_it_is(tmp_path: Path, data: bytes, machine: str) -> None:
    (tmp_path / "vmlinuz").write_bytes(data)
    assert machine_of(tmp_path / "vmlinuz") == machine


def test_a_kernel_that_is_not_there_is_of_no_machine(tmp_path: Path) -> None:
    assert machine_of(tmp_path / "vmlinuz") == ""
