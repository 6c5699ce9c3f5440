"""Whether images fit, and what is said of the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from leecher.machine import space
from leecher.machine.space import Memory, check_space, read_memory, read_own_bytes, share_bytes
from swarmboot.errors import SpaceError

MIB = 1 << 20


@pytest.fixture
def ram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is taken for one in RAM, on a machine with 1 GiB of which 800 MiB are available."""
    memory = Memory(total_bytes=1024 * MIB, available_bytes=800 * MIB)
    monkeypatch.setattr(space, "read_memory", lambda: memory)
    monkeypatch.setattr(space, "_filesystem", lambda _folder: "rootfs")
    return tmp_path


def test_the_kernels_numbers_are_read() -> None:
    memory = read_memory()
    assert 0 < memory.available_bytes <= memory.total_bytes


@pytest.mark.parametrize(
    ("share", "expected"), [("50%", 512 * MIB), ("1%", 1024 * MIB // 100), ("2G", 2048 * MIB), ("300m", 300 * MIB)]
)
def test_a_share_is_read_as_tmpfs_reads_it(share: str, expected: int) -> None:
    assert share_bytes(share, total_bytes=1024 * MIB) == expected


def test_mounted_images_take_their_own_size_only(ram: Path) -> None:
    check_space(ram, needed_bytes=700 * MIB, reserve_bytes=64 * MIB, unpacked_bytes=[0, 0], overlay="50%")


def test_unpacked_images_count_on_top_with_the_numbers_in_the_message(ram: Path) -> None:
    with pytest.raises(SpaceError) as raised:
        check_space(ram, needed_bytes=200 * MIB, reserve_bytes=64 * MIB, unpacked_bytes=[500 * MIB, 60 * MIB])
    assert "too little RAM for the images: expected 200.0 MiB, 560.0 MiB to unpack them and 64.0 MiB to spare" in str(
        raised.value
    )
    assert "found 800.0 MiB of available memory" in str(raised.value)


def test_half_of_what_swap_takes_of_unpacked_images_is_room_and_of_packed_ones_nothing(
    ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapping = Memory(total_bytes=1024 * MIB, available_bytes=800 * MIB, swap_free_bytes=400 * MIB)
    monkeypatch.setattr(space, "read_memory", lambda: swapping)
    check_space(ram, needed_bytes=200 * MIB, reserve_bytes=0, unpacked_bytes=[800 * MIB])
    check_space(ram, needed_bytes=700 * MIB, reserve_bytes=0, unpacked_bytes=[200 * MIB])
    with pytest.raises(SpaceError, match=r"found 1000\.0 MiB of available memory, 200\.0 MiB of it by swap"):
        check_space(ram, needed_bytes=201 * MIB, reserve_bytes=0, unpacked_bytes=[800 * MIB])
    with pytest.raises(SpaceError, match=r"found 800\.0 MiB of available memory;"):
        check_space(ram, needed_bytes=801 * MIB, reserve_bytes=0, unpacked_bytes=[0])


def test_swap_is_read_where_the_kernel_has_it(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1024 kB\nMemAvailable: 512 kB\nSwapTotal: 99 kB\nSwapFree: 64 kB\n")
    assert read_memory(tmp_path / "meminfo").swap_free_bytes == 64 << 10
    (tmp_path / "meminfo").write_text("MemTotal: 1024 kB\nMemAvailable: 512 kB\n")
    assert read_memory(tmp_path / "meminfo").swap_free_bytes == 0


def test_an_image_larger_than_the_tmpfs_it_is_unpacked_into_is_refused(ram: Path) -> None:
    with pytest.raises(SpaceError, match=r"expected room for 300\.0 MiB, found 256\.0 MiB, as swarmboot\.overlay=25%"):
        check_space(ram, needed_bytes=100 * MIB, reserve_bytes=64 * MIB, unpacked_bytes=[300 * MIB], overlay="25%")


def test_memory_of_a_processs_own_is_what_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("VmHWM:\t  99 kB\nRssAnon:\t   61808 kB\nRssFile:\t 5 kB\n")
    assert read_own_bytes(tmp_path / "status") == 61808 * 1024
    (tmp_path / "status").write_text("Name:\tx\n")
    assert read_own_bytes(tmp_path / "status") == 0
    assert read_own_bytes() > 1 << 20
