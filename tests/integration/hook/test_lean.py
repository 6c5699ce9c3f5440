"""An initramfs with odd links is made lean all the same, and nothing outside of it is read or written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from seeder.initramfs.archives import initramfs_entries
from seeder.initramfs.lean import Lean, make_lean

pytestmark = pytest.mark.needs("cpio", "depmod", "strip")
KERNEL = "6.1.0-test"
MODULES = f"usr/lib/modules/{KERNEL}"
CARD = "kernel/drivers/net/ethernet/intel/card/card.ko"


def write_module(path: Path, *facts: str) -> None:
    """Write a module that says these facts of itself, `NAME=VALUE` each, and holds nothing else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = path.with_suffix(".facts")
    data.write_bytes(b"".join(fact.encode() + b"\0" for fact in ("license=GPL", *facts)))
    made_of = ("objcopy", "-I", "binary", "-O", "elf64-x86-64", "--rename-section", ".data=.modinfo")
    subprocess.run((*made_of, data, path), check=True)
    data.unlink()


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Give a system with one card's module, to be packed."""
    system = tmp_path / "system"
    write_module(system / MODULES / CARD, "alias=pci:v00008086d000010D3sv*sd*bc*sc*i*", "firmware=card.fw")
    (system / "lib").symlink_to("usr/lib")
    (system / "usr/lib/firmware").mkdir(parents=True)
    return system


def lean(system: Path, *, config: str = "", is_quick: bool = False) -> tuple[Lean, dict[str, bytes]]:
    """Return what is told of it, and what it holds: the data of each, a link's being what it leads to.

    `config` is what its kernel was built with.
    """
    names = "".join(f"{path.relative_to(system)}\n" for path in sorted(system.rglob("*")))
    command = ("cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0")
    image, out = system.parent / "image", system.parent / "lean"
    image.write_bytes(subprocess.run(command, cwd=system, input=names.encode(), capture_output=True, check=True).stdout)
    (system.parent / "config").write_text(config)
    made = make_lean(
        image, out, kernel=KERNEL, config=system.parent / "config", nics=None, mode=0o600, is_quick=is_quick
    )
    held = {}
    for _, entry in initramfs_entries(out, label="lean"):
        data = b""
        while entry.read is not None and (part := entry.read(1 << 20)):
            data += part
        held[entry.name] = data or os.fsencode(entry.target)
    return made, held


@pytest.mark.needs("xz", "zstd")
@pytest.mark.parametrize("kind", ["zstd", "xz", "gzip"])
def test_packed_less_tightly_it_holds_the_same_and_is_larger(system: Path, kind: str) -> None:
    (system / "usr/share").mkdir()
    (system / "usr/share/words").write_text(" ".join(f"{number * 7919 % 10007} {number}" for number in range(40_000)))
    config = f"CONFIG_RD_{kind.upper()}=y\n"
    whole, held = lean(system, config=config)
    quick, held_too = lean(system, config=config, is_quick=True)
    assert (whole.compression, quick.compression) == (kind, kind)
    assert held == held_too
    assert quick.size_bytes > whole.size_bytes


def test_links_to_modules_become_modules_or_are_left_out(system: Path, tmp_path: Path) -> None:
    extra = system / MODULES / "extra"
    extra.mkdir()
    write_module(system / "usr/src/own.ko", "alias=pci:v00001111d00002222sv*sd*bc*sc*i*")
    write_module(tmp_path / "host/secret.ko", "alias=pci:v00003333d00004444sv*sd*bc*sc*i*")
    (extra / "own.ko").symlink_to("/usr/src/own.ko")
    (extra / "circle.ko").symlink_to("circle.ko")
    (extra / "dangling.ko").symlink_to("/nowhere.ko")
    (extra / "secret.ko").symlink_to(tmp_path / "host/secret.ko")
    (extra / "host").symlink_to(tmp_path / "host")
    (extra / "folder.ko").mkdir()
    made, held = lean(system)
    assert (made.cards, made.others) == (("card",), ("own",))
    assert held[f"{MODULES}/extra/own.ko"] == held["usr/src/own.ko"]
    assert b"00001111" in held[f"{MODULES}/modules.alias"]
    assert not [name for name, data in held.items() if b"00003333" in data]
    assert not {name for name in held if name.endswith(("circle.ko", "dangling.ko", "secret.ko"))}


@pytest.mark.needs("xz")
def test_links_between_packed_modules_are_followed_before_these_are_unpacked(system: Path, tmp_path: Path) -> None:
    folder = (system / MODULES / CARD).parent
    (tmp_path / "target").write_text("untouched")
    subprocess.run(("xz", "--check=crc32", folder / "card.ko"), check=True)
    (folder / "other.ko.xz").symlink_to("card.ko.xz")
    (folder / "plain.ko").symlink_to("card.ko.xz")
    (folder / "host.ko").symlink_to(tmp_path / "target")
    write_module(folder / "host.ko.made")
    subprocess.run(("xz", "--check=crc32", folder / "host.ko.made"), check=True)
    (folder / "host.ko.made.xz").rename(folder / "host.ko.xz")
    made, held = lean(system)
    assert made.cards == ("card", "host", "other", "plain")
    place = f"{MODULES}/{CARD}".removesuffix("card.ko")
    assert held[f"{place}card.ko"] == held[f"{place}other.ko"] == held[f"{place}plain.ko"]
    assert held[f"{place}card.ko"].startswith(b"\x7fELF")
    assert held[f"{place}host.ko"].startswith(b"\x7fELF")
    assert (tmp_path / "target").read_text() == "untouched"


def test_firmware_that_links_lead_nowhere_for_is_not_there(system: Path, tmp_path: Path) -> None:
    firmware = system / "usr/lib/firmware"
    (tmp_path / "card.fw").write_text("the host's")
    (firmware / "card.fw").symlink_to("card.fw")
    (firmware / "updates").symlink_to(tmp_path)
    os.mkfifo(firmware / "pipe.fw")
    made, held = lean(system)
    assert made.without_firmware == ("card",)
    assert not {name for name in held if name.startswith("usr/lib/firmware/")}


def test_a_folder_in_udevs_database_stays_empty_and_a_list_that_is_a_link_becomes_a_file(
    system: Path, tmp_path: Path
) -> None:
    (system / "etc/udev/hwdb.d/folder").mkdir(parents=True)
    (system / "etc/udev/hwdb.d/folder/a.hwdb").write_text("a")
    (tmp_path / "list").write_text("the host's")
    (system / MODULES / "modules.dep").symlink_to(tmp_path / "list")
    (system / MODULES / "modules.builtin.modinfo").symlink_to(tmp_path / "list")
    _, held = lean(system)
    assert "etc/udev/hwdb.d/folder/a.hwdb" not in held
    assert held[f"{MODULES}/modules.dep"] == f"{CARD}:\n".encode()
    assert (tmp_path / "list").read_text() == "the host's"
