"""`publish` looks into kernel and initramfs: are they what they seem, do they belong together, and to this fleet?"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from seeder.initramfs.kernel import read_kernel
from seeder.publish.check.readers.initramfs import HOOK, read_initramfs
from swarmboot.errors import CannotBootError, ReleaseError
from swarmboot.release import key_files
from tests.support.commands import Done, run
from tests.support.releases.bootable_roots import build_root, cpio, squash, tar

pytestmark = pytest.mark.needs("mksquashfs", "unsquashfs", "cpio")
VERSION = "6.1.0-13-amd64"
PACKERS = {
    "gzip": ("gzip", "-nc"),
    "xz": ("xz", "-c", "--check=crc32"),
    "lzma": ("xz", "-c", "--format=lzma"),
    "bzip2": ("bzip2", "-c"),
    "zstd": ("zstd", "-qc", "-19"),
    "lz4": ("lz4", "-lc"),
}


def packed(data: bytes, kind: str) -> bytes:
    if not shutil.which(PACKERS[kind][0]):
        pytest.skip(f"{PACKERS[kind][0]} is not installed")
    return subprocess.run(PACKERS[kind], input=data, capture_output=True, check=True, timeout=60).stdout


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def corrupt(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 4096]) + data[middle + 4096 :]


def kernel_head(*, version: str = VERSION, xloadflags: int = 1, memory_bytes: int = 1 << 24) -> bytes:
    """Return the head of a bzImage (Documentation/arch/x86/boot.rst)."""
    head = bytearray(0x8000)
    head[0x1FE:0x200], head[0x202:0x206] = b"\x55\xaa", b"HdrS"
    head[0x20E:0x210] = (0x3000 - 0x200).to_bytes(2, "little")
    head[0x236:0x238] = xloadflags.to_bytes(2, "little")
    head[0x260:0x264] = memory_bytes.to_bytes(4, "little")
    text = f"{version} (builder@host) #1 SMP\0".encode()
    head[0x3000 : 0x3000 + len(text)] = text
    return bytes(head)


def build_initramfs(
    folder: Path, keys: str = "", *, version: str = VERSION, defaults: str = "floor=0\n", has_hook: bool = True
) -> bytes:
    """Return an initramfs as the hook leaves it, as far as it is looked at."""
    for name in (
        HOOK,
        "etc/swarmboot/fleet.pub",
        "etc/swarmboot/defaults",
        f"usr/lib/modules/{version}/kernel/nic.ko.xz",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if has_hook:
        (folder / HOOK).write_text("#!/bin/sh\n")
    (folder / "etc/swarmboot/fleet.pub").write_text(keys)
    (folder / "etc/swarmboot/defaults").write_text(defaults)
    (folder / f"usr/lib/modules/{version}/kernel/nic.ko.xz").write_bytes(bytes(5000))
    (folder / "lib").symlink_to("usr/lib")
    return cpio(folder)


class Bench:
    """A release whose root boots, and a stage 0 to be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.release = folder / "release"
        self.release.mkdir()
        squash(build_root(folder / "root"), self.release / "rootfs.squashfs")
        self.private, public = key_files.write_pair(folder / "keys")
        self.keys = public.read_text()

    def initramfs(self, **changes: object) -> bytes:
        return build_initramfs(self.folder / "initramfs", self.keys, **changes)  # type: ignore[arg-type]

    def write(self, kernel: bytes | None, initramfs: bytes | None) -> None:
        for name, data in (("vmlinuz", kernel), ("initramfs.img", initramfs)):
            if data is not None:
                (self.release / name).write_bytes(data)

    def publish(self, *options: object) -> Done:
        return run("publish", self.release, "--site", self.folder / "site", "--key", self.private, *options)

    def refused(self) -> str:
        """Return why the release is refused; it is for one reason only."""
        done = self.publish("--check")
        assert done.status == CannotBootError.exit_status, done.out
        lines = [line for line in done.err.splitlines() if line.startswith("refused: ")]
        assert len(lines) == 1, done.err
        return lines[0]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_stage_0_of_one_kernel_and_this_fleet_is_published_and_counted(bench: Bench) -> None:
    bench.write(kernel_head(), packed(bench.initramfs(), "gzip"))
    assert bench.publish("--check").status == 0
    done = bench.publish()
    assert done.status == 0
    assert "note:" not in done.out
    assert " to boot, " in done.out


@pytest.mark.parametrize("kind", PACKERS)
def test_an_initramfs_of_any_kind_is_looked_into_behind_microcode_and_before_more(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "early/kernel/x86/microcode").mkdir(parents=True)
    (tmp_path / "early/kernel/x86/microcode/AuthenticAMD.bin").write_bytes(bytes(70_000))
    (tmp_path / "more/etc/swarmboot").mkdir(parents=True)
    (tmp_path / "more/etc/swarmboot/defaults").write_text("# a comment\nfloor=7\n")
    whole = cpio(tmp_path / "early") + packed(bench.initramfs(), kind)
    whole += bytes(-len(whole) % 512) + packed(cpio(tmp_path / "more"), "gzip")
    (tmp_path / "image").write_bytes(whole)
    found = read_initramfs(tmp_path / "image", label="initramfs.img")
    assert (found.has_hook, found.modules, found.keys) == (True, frozenset({VERSION}), bench.keys)
    assert found.defaults == {"floor": "7"}
    assert 75_000 < found.unpacked_bytes < 100_000


@pytest.mark.parametrize(("megabytes", "is_noted"), [(3, True), (1, False)])
def test_publish_says_what_a_lean_initramfs_would_save_if_it_is_worth_it(
    bench: Bench, megabytes: int, is_noted: bool
) -> None:
    modules = bench.folder / f"initramfs/usr/lib/modules/{VERSION}/kernel"
    for name in ("drivers/ata/ahci.ko", "drivers/net/ethernet/nic.ko"):
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).write_bytes(Random(3).randbytes(megabytes * 900_000))
    bench.write(kernel_head(), packed(bench.initramfs(), "gzip"))
    done = bench.publish("--check")
    assert done.status == 0, done.err
    noted = re.search(
        r"note: initramfs.img holds modules for disks, which no boot from the network needs: about 2\.\d MiB of the "
        r"5\.\d MiB that each machine loads; .*build-initramfs --lean",
        done.out,
    )
    assert (noted is not None) == is_noted, done.out


@pytest.mark.parametrize("is_there", [True, False])
def test_publish_says_that_nodes_of_a_profile_ask_for_swap_of_which_there_is_no_module(
    bench: Bench, is_there: bool
) -> None:
    name = f"usr/lib/modules/{VERSION}/kernel/drivers/block/{'zram/zram' if is_there else 'loop'}.ko"
    (bench.folder / "initramfs" / name).parent.mkdir(parents=True)
    (bench.folder / "initramfs" / name).write_bytes(bytes(5000))
    (bench.release / "release.toml").write_text('[[profiles]]\nname = "small"\nzram = "75%"\n')
    bench.write(kernel_head(), packed(bench.initramfs(), "gzip"))
    done = bench.publish("--check")
    assert done.status == 0, done.err
    said = "note: initramfs.img cannot make the compressed swap of swarmboot.zram=75%: nodes boot without"
    assert (said in done.out) is not is_there, done.out


@pytest.mark.parametrize("kind", PACKERS)
def test_half_an_initramfs_is_refused_whatever_packs_it(bench: Bench, tmp_path: Path, kind: str) -> None:
    whole = packed(bench.initramfs() + bytes(range(256)) * 64, kind)
    (tmp_path / "image").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReleaseError, match=r"^initramfs\.img "):
        read_initramfs(tmp_path / "image", label="initramfs.img")


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("break_it", [cut, corrupt])
def test_an_initramfs_that_breaks_within_the_runtime_is_refused_by_publish_and_by_inspect(
    bench: Bench, kind: str, break_it: Callable[[bytes], bytes]
) -> None:
    runtime = bench.folder / "more/usr/lib/swarmboot/runtime.squashfs"
    runtime.parent.mkdir(parents=True)
    runtime.write_text("".join(f"{number} " for number in range(300_000)))
    bench.write(kernel_head(), break_it(packed(cpio(bench.folder / "more"), kind)))
    assert bench.refused().startswith("refused: initramfs.img ")
    done = run("hook", "inspect", bench.release / "initramfs.img")
    assert (done.status, done.out) == (ReleaseError.exit_status, ""), done.err
    assert done.err.startswith(f"swarmboot: {bench.release}/initramfs.img ")
    assert done.err.count("\n") == 1


def test_an_initramfs_that_no_kernel_unpacks_is_refused(bench: Bench) -> None:
    bench.write(kernel_head(), b"no initramfs at all")
    assert "initramfs.img cannot be unpacked: expected cpio archives" in bench.refused()


def test_an_initramfs_packed_by_what_is_not_here_is_noted(bench: Bench) -> None:
    bench.write(kernel_head(), b"\x89LZO\0\r\n\x1a\n")
    done = bench.publish("--check")
    assert (done.status, done.out.splitlines()) == (
        0,
        ["note: initramfs.img was not looked into: lzo is not read here"],
    )


def test_an_initramfs_without_the_hook_is_refused(bench: Bench) -> None:
    bench.write(kernel_head(), packed(bench.initramfs(has_hook=False), "gzip"))
    assert "initramfs.img is without swarmboot's hook" in bench.refused()


def test_an_initramfs_of_another_fleets_key_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.write(kernel_head(), packed(bench.initramfs(), "gzip"))
    bench.private, _ = key_files.write_pair(tmp_path / "other")
    assert "believes other keys than the ones that sign this release" in bench.refused()


def test_an_initramfs_with_the_keys_from_before_a_rotation_is_accepted(bench: Bench, tmp_path: Path) -> None:
    bench.write(kernel_head(), packed(bench.initramfs(), "gzip"))
    assert bench.publish().status == 0
    old, old_public = bench.private, bench.folder / "keys" / key_files.PUBLIC_NAME
    bench.private, public = key_files.write_pair(tmp_path / "new")
    rotated = run("rotate", bench.folder / "site", "--trust", old_public, "--new-trust", public, "--key", old,
                  "--key", bench.private)  # fmt: skip
    assert rotated.status == 0, rotated.err
    assert bench.publish("--check").status == 0
    assert bench.publish("--check", "--new-keys").status == CannotBootError.exit_status


@pytest.mark.needs("zstd")
def test_an_initramfs_that_cannot_unpack_the_release_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "runtime/usr/bin").mkdir(parents=True)
    (tmp_path / "plugin/opt").mkdir(parents=True)
    (bench.release / "plugins").mkdir()
    tar(tmp_path / "plugin", bench.release / "plugins/10.tar.zst")
    bench.initramfs()
    image = bench.folder / "initramfs" / HOOK
    for program in ("python3", "zstd"):
        shutil.copy("/usr/bin/true", tmp_path / "runtime/usr/bin" / program)
        squash(tmp_path / "runtime", image.with_name("runtime.squashfs"))
        bench.write(kernel_head(), packed(cpio(bench.folder / "initramfs"), "gzip"))
        if program == "python3":
            assert "initramfs.img cannot unpack zstd, as plugins/10.tar.zst is packed" in bench.refused()
    assert bench.publish("--check").status == 0


@pytest.mark.parametrize(
    ("defaults", "words"),
    [("fleet=hall-3\n", "boots another fleet's releases only"), ("floor=9\n", "boots no manifest as old as this one")],
)
def test_an_initramfs_that_would_refuse_this_release_is_refused(bench: Bench, defaults: str, words: str) -> None:
    bench.write(kernel_head(), packed(bench.initramfs(defaults=defaults), "gzip"))
    assert words in bench.refused()


def test_a_token_in_an_initramfs_that_anybody_may_load_is_noted(bench: Bench) -> None:
    bench.initramfs()
    (bench.folder / "initramfs/etc/swarmboot/fleet.token").write_text("secret")
    bench.write(kernel_head(), cpio(bench.folder / "initramfs"))
    done = bench.publish("--check")
    assert (done.status, "initramfs.img holds the fleet token" in done.out) == (0, True)


def test_a_leecher_for_another_machine_than_the_kernels_is_refused(bench: Bench) -> None:
    bench.initramfs()
    libraries = bench.folder / "initramfs/usr/lib/swarmboot/runtime.libraries"
    libraries.write_text("/lib/x86_64-linux-gnu/libc.so.6\n/lib64/ld-linux-x86-64.so.2\n")
    bench.write(kernel_head(), cpio(bench.folder / "initramfs"))
    assert bench.publish("--check").status == 0
    libraries.write_text("/lib/aarch64-linux-gnu/libc.so.6\n/lib/ld-linux-aarch64.so.1\n")
    bench.write(kernel_head(), cpio(bench.folder / "initramfs"))
    assert (
        "initramfs.img holds a leecher for another machine than the kernel: expected x86-64, found arm64"
        in bench.refused()
    )


def test_modules_of_another_kernel_are_refused_in_the_initramfs_and_noted_in_the_root(bench: Bench) -> None:
    bench.write(kernel_head(), packed(bench.initramfs(version="6.1.0-12-amd64"), "gzip"))
    assert (
        f"has modules of another kernel than the release's: expected {VERSION}, found 6.1.0-12-amd64" in bench.refused()
    )
    bench.write(kernel_head(version="6.1.0-12-amd64"), None)
    (bench.folder / "root/usr/lib/modules/5.10").mkdir(parents=True)
    squash(bench.folder / "root", bench.release / "rootfs.squashfs")
    done = bench.publish("--check")
    assert (done.status, "rootfs.squashfs has modules of another kernel" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x7fELF" + bytes(9000), "found an ELF file (vmlinux?)"),
        (b"#!/bin/sh\n", "found a file that begins with 23212f62696e2f73"),
        (gzip.compress(b"no kernel"), "found a file that begins with"),
    ],
)
def test_a_kernel_that_is_none_is_refused(bench: Bench, data: bytes, words: str) -> None:
    bench.write(data, bench.initramfs())
    assert words in bench.refused()


def test_a_root_for_another_machine_than_the_kernel_is_refused(bench: Bench) -> None:
    image = bytearray(0x8000)
    image[0x38:0x3C] = b"ARM\x64"
    bench.write(bytes(image), bench.initramfs())
    assert "rootfs.squashfs is for another machine than the kernel" in bench.refused()


def test_the_version_of_a_packed_arm64_kernel_is_read_and_the_packing_noted(bench: Bench, tmp_path: Path) -> None:
    image = bytearray(0x80000)
    image[0x38:0x3C] = b"ARM\x64"
    image[0x60000:0x60020] = b"Linux version 6.1.0-9-arm64 (a@b"
    (tmp_path / "Image.gz").write_bytes(gzip.compress(bytes(image)))
    kernel = read_kernel(tmp_path / "Image.gz", label="vmlinuz")
    assert (kernel.machine, kernel.version, kernel.compression) == ("arm64", "6.1.0-9-arm64", "gzip")


@pytest.mark.parametrize(("name", "lacking"), [("vmlinuz", "initramfs.img"), ("initramfs.img", "vmlinuz")])
def test_half_a_stage_0_is_noted(bench: Bench, name: str, lacking: str) -> None:
    make: dict[str, Callable[[], bytes]] = {"vmlinuz": kernel_head, "initramfs.img": bench.initramfs}
    (bench.release / name).write_bytes(make[name]())
    done = bench.publish("--check")
    assert (done.status, f"{name} without {lacking}" in done.out) == (0, True)
