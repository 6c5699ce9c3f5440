"""How the hook makes compressed swap, and that no fault of it is one of the boot's."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmboot.errors import MalformedSettingError
from swarmboot.setting_values import parse_zram
from tests.support.shells import drive

_CALL = """
modprobe() {{ echo "modprobe $*"; }}
mkswap() {{ echo "mkswap $*" >&2; echo "mkswap $*" >>{folder}/run; {mkswap}; }}
swapon() {{ echo "swapon $*" >>{folder}/run; {swapon}; }}
swarmboot_zram_control={folder}/control swarmboot_blocks={folder}/blocks
swarmboot_swaps={folder}/swaps swarmboot_meminfo={folder}/meminfo
{first}
swarmboot_add_swap
"""
NO_ZSTD = """
swarmboot_write() {
    case $1 in zstd) zstd=yes ;; lz4 | lzo-rle) zstd=no ;; *K) [ $zstd = no ] || return 1 ;; esac
    echo "$1" >"$2"
}
"""
"""A kernel that takes the name and has no module for it, as Debian 12's without zstd.ko."""


def swapping(
    shell: tuple[str, ...],
    folder: Path,
    cmdline: str,
    *,
    first: str = "",
    has_module: bool = True,
    mkswap: str = ":",
    swapon: str = ":",
) -> tuple[int, list[str], str]:
    """Return the status, which programs made swap, and what the console was told; sysfs is in the folder."""
    (folder / "blocks/zram1").mkdir(parents=True, exist_ok=True)
    (folder / "blocks/zram1/comp_algorithm").write_text("lzo [lzo-rle] lz4 zstd\n")
    (folder / "control").mkdir(exist_ok=True)
    if has_module:
        (folder / "control/hot_add").write_text("1\n")
    (folder / "meminfo").write_text("MemTotal:         480000 kB\nMemFree:          300000 kB\n")
    (folder / "swaps").write_text("Filename\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
    call = _CALL.format(folder=folder, first=first, mkswap=mkswap, swapon=swapon)
    status, _ = drive(shell, folder, call, cmdline=cmdline)
    run = folder / "run"
    return status, run.read_text().splitlines() if run.exists() else [], (folder / "console").read_text()


@pytest.mark.parametrize(
    "cmdline", ["", "swarmboot.zram=off", "swarmboot.zram=0", "swarmboot.zram=50% swarmboot.zram=no"]
)
def test_nothing_is_swapped_where_nobody_asks_for_it(shell: tuple[str, ...], tmp_path: Path, cmdline: str) -> None:
    assert swapping(shell, tmp_path, cmdline) == (0, [], "")


@pytest.mark.parametrize(
    ("value", "kib"),
    [("50%", 240000), ("on", 240000), ("1", 240000), ("200%", 960000), ("64MiB", 65536), ("64M", 65536),
     ("65536k", 65536), ("4GiB", 960000), ("999999999G", 960000)],
)  # fmt: skip
def test_swap_is_as_large_as_the_setting_says_and_never_twice_the_memory(
    shell: tuple[str, ...], tmp_path: Path, value: str, kib: int
) -> None:
    status, run, said = swapping(shell, tmp_path, f"swarmboot.zram={value}")
    assert (status, run) == (0, ["mkswap /dev/zram1", "swapon /dev/zram1"])
    assert said == f"swarmboot: swap of {kib // 1024} MiB in RAM, compressed by zstd\n"
    assert (tmp_path / "blocks/zram1/disksize").read_text() == f"{kib}K\n"
    assert (tmp_path / "blocks/zram1/comp_algorithm").read_text() == "zstd\n"


@pytest.mark.parametrize(
    "value", ["1k", "9K", "12M", "3g", "256MiB", "1KiB", "1GiB", "1%", "99%", "100%", "200%", "ON"]
)
def test_every_size_that_the_setting_takes_the_hook_takes(shell: tuple[str, ...], tmp_path: Path, value: str) -> None:
    assert parse_zram(value)
    assert len(swapping(shell, tmp_path, f"swarmboot.zram={value}")[1]) == 2


@pytest.mark.parametrize("value", ["50", "%", "-1%", "050%", "1T", "5 0%", "$(id)M", "1e3M", "1234567890K", "50%%"])
def test_what_is_no_size_is_left_for_the_leecher_to_name(shell: tuple[str, ...], tmp_path: Path, value: str) -> None:
    assert swapping(shell, tmp_path, f'swarmboot.zram="{value}"') == (0, [], "")
    with pytest.raises(MalformedSettingError, match=r"not a size of swap: expected off, on, a share of the RAM"):
        parse_zram(value)


def test_a_kernel_without_zstd_compresses_with_what_it_has(shell: tuple[str, ...], tmp_path: Path) -> None:
    _, run, said = swapping(shell, tmp_path, "swarmboot.zram=50%", first=NO_ZSTD)
    assert (len(run), said) == (2, "swarmboot: swap of 234 MiB in RAM, compressed by lz4\n")


def test_a_kernel_with_neither_compresses_as_it_does_by_default(shell: tuple[str, ...], tmp_path: Path) -> None:
    first = 'swarmboot_write() { case $1 in zstd | lz4) return 1 ;; esac; echo "$1" >"$2"; }'
    _, run, said = swapping(shell, tmp_path, "swarmboot.zram=50%", first=first)
    assert (len(run), said) == (2, "swarmboot: swap of 234 MiB in RAM, compressed by lzo-rle\n")


def test_a_missing_module_is_one_line_and_how_to_have_it(shell: tuple[str, ...], tmp_path: Path) -> None:
    status, run, said = swapping(shell, tmp_path, "swarmboot.zram=50%", has_module=False)
    assert (status, run, said.count("\n")) == (0, [], 1)
    assert "swarmboot.zram is 50%, and the module zram is not there: going on without" in said
    assert "build the initramfs with --default zram=50%" in said


@pytest.mark.parametrize(("mkswap", "swapon"), [("return 127", ":"), (":", "return 1")])
def test_swap_that_cannot_be_used_is_one_line_and_its_device_goes(
    shell: tuple[str, ...], tmp_path: Path, mkswap: str, swapon: str
) -> None:
    status, _, said = swapping(shell, tmp_path, "swarmboot.zram=50%", mkswap=mkswap, swapon=swapon)
    assert (status, said.count("\n")) == (0, 1)
    assert "/dev/zram1 cannot be swapped to (are mkswap and swapon in the initramfs?): going on without" in said
    assert (tmp_path / "control/hot_remove").read_text() == "1\n"


def test_a_device_that_takes_no_size_is_one_line(shell: tuple[str, ...], tmp_path: Path) -> None:
    first = "swarmboot_write() { case $1 in *K) return 1 ;; esac; }"
    status, run, said = swapping(shell, tmp_path, "swarmboot.zram=50%", first=first)
    assert (status, run) == (0, [])
    assert said == "swarmboot: swarmboot.zram is 50%, and /dev/zram1 takes no size of 240000 KiB: going on without\n"


def test_a_retry_from_the_rescue_shell_makes_no_second_one(shell: tuple[str, ...], tmp_path: Path) -> None:
    first = f"echo '/dev/zram1 partition 239996 0 -2' >>{tmp_path}/swaps"
    assert swapping(shell, tmp_path, "swarmboot.zram=50%", first=first) == (0, [], "")


def test_swap_is_there_before_the_first_tmpfs(shell: tuple[str, ...], tmp_path: Path) -> None:
    call = """
        swarmboot_addresses() { :; }; swarmboot_end_window() { :; }; swarmboot_fail() { return 1; }
        swarmboot_add_swap() { echo swap; }; swarmboot_prepare() { echo prepare; return 1; }
        swarmboot_boot /root
    """
    assert drive(shell, tmp_path, call) == (1, "swap\nprepare\n")
