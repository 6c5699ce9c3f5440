"""`publish` looks into real kernels and real initramfs images: Debian's, of two architectures and two generators."""

from __future__ import annotations

import gzip
import mmap
import subprocess
from pathlib import Path

import pytest

from netsim.demo.release import sample_release
from seeder.initramfs.kernel import read_kernel, read_sections
from seeder.publish.check.readers.initramfs import read_initramfs
from swarmboot.errors import CannotBootError
from tests.support.commands import Done, run
from tests.support.releases.bootable_roots import build_root, squash
from tests.system.bare.packages import kernel as other_kernel
from tests.system.bare.packages import unpacked
from tests.system.vm import images
from tests.system.vm.programs import PATH

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.timeout(900),
    pytest.mark.needs("mkinitramfs", "dracut", "busybox", "mksquashfs", "unsquashfs"),
]


class Bench:
    """A release of real parts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.release = folder, folder / "release"
        self.release.mkdir()
        self.key = images.fleet().keys / "swarmboot.key"

    def put(self, name: str, source: Path) -> None:
        (self.release / name).unlink(missing_ok=True)
        (self.release / name).hardlink_to(source)

    def check(self) -> Done:
        return run("publish", self.release, "--site", self.folder / "site", "--key", self.key, "--check")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    squash(build_root(tmp_path / "root"), bench.release / "rootfs.squashfs")
    bench.put("vmlinuz", images.debian_kernel().image)
    return bench


def unpacked_bytes(bench: Bench) -> int:
    """Return the memory that the release's initramfs takes, by what the distribution's own program unpacks of it."""
    tree = bench.folder / "unpacked"
    subprocess.run(("unmkinitramfs", bench.release / "initramfs.img", tree), check=True)
    files = {file.lstat().st_ino: file.lstat().st_size for file in tree.rglob("*") if not file.is_dir()}
    return sum(-(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE for size_bytes in files.values())


@pytest.mark.parametrize("generator", ["initramfs-tools", "dracut"])
def test_what_boots_in_the_other_tests_is_found_to_boot(bench: Bench, generator: str) -> None:
    bench.put("initramfs.img", images.initramfs(generator))
    done = bench.check()
    assert (done.status, done.out.count("\n")) == (0, 1), done.err + done.out
    found = read_initramfs(bench.release / "initramfs.img", label="initramfs.img")
    assert found.modules == frozenset({images.debian_kernel().version})
    assert found.unpacked_bytes == pytest.approx(unpacked_bytes(bench), rel=0.01)
    assert found.runtime_bytes > 1 << 22


def test_the_distributions_own_initramfs_is_refused(bench: Bench) -> None:
    sample = sample_release(say=print)
    bench.put("initramfs.img", sample / "initramfs.img")
    done = bench.check()
    assert (done.status, "is without swarmboot's hook" in done.err) == (CannotBootError.exit_status, True)


def test_a_kernel_for_arm64_is_known_whether_it_is_packed_or_not(bench: Bench) -> None:
    image = other_kernel("cloud-arm64", suite="bookworm", architecture="arm64")
    packed = bench.folder / "Image.gz"
    packed.write_bytes(gzip.compress(image.read_bytes(), compresslevel=1))
    found = [read_kernel(path, label="vmlinuz") for path in (image, packed)]
    assert {(kernel.machine, kernel.version) for kernel in found} == {("arm64", image.name.removeprefix("vmlinuz-"))}
    assert [kernel.compression for kernel in found] == ["", "gzip"]
    bench.put("vmlinuz", image)
    bench.put("initramfs.img", images.initramfs())
    lines = bench.check().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["refused"] * 3 + ["swarmboot"]
    for what in ("modules of another kernel", "leecher for another machine", "rootfs.squashfs is for another machine"):
        assert any(what in line for line in lines[:3]), lines


def test_a_unified_kernel_image_is_looked_into(bench: Bench) -> None:
    ukify = unpacked("systemd-ukify", suite="trixie") / "usr/bin/ukify"
    words = (f"--linux={images.debian_kernel().image}", f"--initrd={images.initramfs()}", "--cmdline=quiet")
    stub = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
    if not stub.is_file():
        pytest.skip("the stub of systemd-boot-efi is not installed")
    out = bench.release / "boot.efi"
    by_debians_python = ("env", f"PATH=/usr/bin:{PATH}", ukify, "build", *words, f"--output={out}")
    subprocess.run(by_debians_python, check=True, capture_output=True, timeout=120)
    (bench.release / "vmlinuz").unlink()
    assert {".linux", ".initrd"} <= set(read_sections(out))
    assert bench.check().status == 0
    bench.key = bench.folder / "keys" / "swarmboot.key"
    assert run("keygen", "--out", bench.key.parent).status == 0
    assert "boot.efi believes other keys" in bench.check().err
