"""What a lean initramfs would end at is said before anything is built: a list of cards, a program that is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from seeder.hook.build_initramfs import Leanness, around, check_for_lean, config_of
from seeder.initramfs.card_list import CardList
from swarmboot.errors import MalformedSettingError, ResourceError, ToolMissingError
from swarmboot.release.key_files import write_pair
from tests.support.commands import Done, run

KERNEL = "6.1.0-test"
E1000E = "kernel/drivers/net/ethernet/intel/e1000e/e1000e"


def build(folder: Path, *options: object) -> Done:
    trust = write_pair(folder / "keys")[1]
    out = ("--out", folder / "out/initramfs.img", "--runtime", folder / "runtime/runtime.squashfs")
    return run("hook", "build-initramfs", "--lean", "--kernel", KERNEL, *out, "--trust", trust, *options)


def write_modules(folder: Path, suffix: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "modules.dep").write_text(f"{E1000E}.ko{suffix}:\n")
    (folder / "modules.alias").write_text("alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e\n")
    return folder


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"e1000e\n\xff\xfe\0", "is no text: expected a list of cards, as docs/boot.md has it, found byte 7"),
     (b"", "names no card"), (b"# none\n\n", "names no card"), (b"#" * (1 << 21), "is too large")],
)  # fmt: skip
def test_a_list_of_cards_that_is_none_is_refused_at_once(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "cards").write_bytes(data)
    done = build(tmp_path, "--nics", tmp_path / "cards")
    assert done.status == MalformedSettingError.exit_status, done.err
    assert f"--nics {tmp_path}/cards {words}" in done.line
    assert not (tmp_path / "out").exists()


def test_what_belongs_to_a_lean_one_is_refused_without(tmp_path: Path) -> None:
    (tmp_path / "cards").write_text("e1000e\n")
    trust = write_pair(tmp_path / "keys")[1]
    for flags in (("--nics", tmp_path / "cards"), ("--quick",)):
        arguments = ("hook", "build-initramfs", "--kernel", KERNEL, "--out", tmp_path / "out", "--trust", trust, *flags)
        done = run(*arguments)
        assert done.status == MalformedSettingError.exit_status, done.err
        assert f"{flags[0]} goes with --lean: expected --lean as well" in done.line


def test_a_folder_is_no_list_of_cards(tmp_path: Path) -> None:
    assert f"--nics {tmp_path} is no file" in build(tmp_path, "--nics", tmp_path).line


def test_a_line_that_the_kernels_modules_have_no_driver_for_is_refused_at_once(tmp_path: Path) -> None:
    modules = write_modules(tmp_path / KERNEL)
    check_for_lean(modules, Leanness(CardList("cards", "e1000e\n")))
    with pytest.raises(MalformedSettingError, match="cards, line 2: no driver of a network card here is 'loop'"):
        check_for_lean(modules, Leanness(CardList("cards", "e1000e\nloop\n")))


@pytest.mark.root
@pytest.mark.needs("mkinitramfs")
def test_a_program_that_is_missing_is_named_with_its_package_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mkinitramfs").symlink_to(shutil.which("mkinitramfs") or "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = build(tmp_path)
    assert done.status == ToolMissingError.exit_status
    assert done.line == "swarmboot: depmod is not installed; install the package kmod"
    assert not (tmp_path / "runtime").exists()


def test_modules_packed_with_zstd_want_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    check_for_lean(write_modules(tmp_path / "xz", ".xz"), Leanness())
    with pytest.raises(ToolMissingError, match="zstd is not installed; install the package zstd"):
        check_for_lean(write_modules(tmp_path / "zst", ".zst"), Leanness())


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """Give this machine's own system with modules of another kernel in it, which is gone afterwards."""
    memory, tree = tmp_path / "memory", tmp_path / "tree"
    memory.mkdir()
    tree.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "none", memory), check=True)
    try:
        (memory / "work").mkdir()
        at = Path(os.path.realpath("/lib")).relative_to("/")
        write_modules(memory / "upper" / at / "modules" / KERNEL)
        places = f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work"
        subprocess.run(("mount", "-t", "overlay", "-o", places, "none", tree), check=True)
        yield tree
        subprocess.run(("umount", tree), check=True)
    finally:
        subprocess.run(("umount", "-R", memory), check=True)


@pytest.mark.root
@pytest.mark.needs("mkinitramfs", "/usr/share/doc/python3-click")
def test_a_list_that_a_tree_refuses_is_named_as_it_was_typed(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "cards").write_text("e1000e\nloop\n")
    done = build(tmp_path, "--inside", tree, "--nics", tmp_path / "cards")
    assert done.status == ResourceError.exit_status
    assert f"found 42: --nics {tmp_path}/cards, line 2: no driver of a network card here is 'loop'" in done.line
    assert "/mnt/" not in done.err


@pytest.mark.root
@pytest.mark.needs("mkinitramfs", "depmod")
def test_modules_are_looked_for_in_the_folder_that_was_named(tmp_path: Path) -> None:
    write_modules(tmp_path / "tree/lib/modules/6.1.0-other")
    done = build(tmp_path, "--modules", tmp_path / "tree")
    assert done.status == ResourceError.exit_status, done.err
    assert f"no modules of kernel {KERNEL} in {tmp_path}/tree/lib/modules: expected one of: 6.1.0-other" in done.line


@pytest.mark.root
@pytest.mark.needs("unshare")
def test_a_kernel_of_a_merged_package_is_where_generators_look_for_it(tmp_path: Path) -> None:
    modules = write_modules(tmp_path / "tree/usr/lib/modules" / KERNEL)
    (modules / "config").write_text("CONFIG_RD_ZSTD=y\n")
    (tmp_path / "stage").mkdir()
    looked_at = ("cat", f"/boot/config-{KERNEL}", f"/lib/modules/{KERNEL}/modules.dep")
    done = subprocess.run(
        around(tmp_path / "tree", KERNEL, tmp_path / "stage", looked_at), capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.stdout.splitlines()) == ("", ["CONFIG_RD_ZSTD=y", f"{E1000E}.ko:"])
    assert config_of(tmp_path / "tree", KERNEL) == modules / "config"


def test_modules_and_another_system_are_not_both_taken(tmp_path: Path) -> None:
    done = build(tmp_path, "--modules", tmp_path, "--inside", tmp_path)
    assert (done.status, "--modules and --inside" in done.line) == (MalformedSettingError.exit_status, True)


@pytest.mark.root
@pytest.mark.needs("mkinitramfs", "depmod", "unshare")
def test_a_kernel_without_its_configuration_is_said_to_lack_it(tmp_path: Path) -> None:
    write_modules(tmp_path / "tree/lib/modules" / KERNEL)
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime/runtime.squashfs").write_bytes(b"never read")
    (tmp_path / "runtime/runtime.libraries").write_text("")
    done = build(tmp_path, "--modules", tmp_path / "tree")
    assert done.status == ResourceError.exit_status, done.err
    assert f"{tmp_path}/tree/boot/config-{KERNEL} is not there: copy it from the kernel's package" in done.line
