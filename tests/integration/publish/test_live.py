"""A live image of live-build's, in each form it comes in, becomes a release directory; what cannot be is one line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.coinboot import VERSION, write_small_root
from tests.support.commands import run
from tests.support.live import ARGUMENTS, kernel_bytes, pack_root, write_built, write_iso, write_netboot_tar

pytestmark = pytest.mark.needs("mksquashfs", "unsquashfs", "tar")
needs_iso = pytest.mark.needs("bsdtar", "xorriso")


def imported(image: Path, out: Path, *, code: int = 0) -> str:
    done = run("release", "import", image, "--no-initramfs", "--out", out)
    assert done.status == code, done.err
    return done.out + done.err


@pytest.fixture
def built(tmp_path: Path) -> Path:
    root = write_small_root(tmp_path / "root")
    (root / "etc/resolv.conf").touch()
    return write_built(tmp_path / "built", root)


@pytest.fixture
def tar(built: Path, tmp_path: Path) -> Path:
    return write_netboot_tar(tmp_path / "live-image-amd64.netboot.tar", built)


def image_of(form: str, built: Path, folder: Path) -> Path:
    """Return the image in one of the forms that it comes in."""
    match form:
        case "folder":
            return built
        case "live folder":
            live = folder / "live"
            shutil.copytree(built / "debian-live/live", live)
            shutil.copytree(built / "tftpboot/live", live, dirs_exist_ok=True)
            return live
        case "iso":
            return write_iso(folder / "live.iso", built)
    return write_netboot_tar(folder / f"live.netboot.{form}", built)


def unpacked(image: Path, to: Path) -> Path:
    subprocess.run(("unsquashfs", "-quiet", "-no-progress", "-dest", str(to), str(image)), check=True)
    return to


@pytest.mark.parametrize(
    "form", ["folder", "live folder", "tar", "tar.gz", "tar.xz", "tar.bz2", pytest.param("iso", marks=needs_iso)]
)
def test_an_image_becomes_a_release_whatever_it_comes_in(built: Path, tmp_path: Path, form: str) -> None:
    release = tmp_path / "release"
    said = imported(image_of(form, built, tmp_path), release)
    root = (built / "debian-live/live/filesystem.squashfs").read_bytes()
    assert (release / "rootfs.squashfs").read_bytes() == root
    assert (release / "vmlinuz").read_bytes() == kernel_bytes()
    words = "boot=live components" if form == "live folder" else ARGUMENTS
    assert f'cmdline = "{words}"' in (release / "release.toml").read_text()
    assert (release / f".live/lib/modules/{VERSION}/modules.dep").is_file()
    assert (release / f".live/boot/config-{VERSION}").is_file()
    assert f"hook build-initramfs --lean --kernel {VERSION} --modules {release}/.live" in said
    assert "initrd.img" in said.partition("not taken over, ")[2]


def test_live_config_finds_what_live_boot_would_have_left(built: Path, tmp_path: Path) -> None:
    live = built / "debian-live/live"
    (live / "config-hooks").mkdir()
    (live / "config.conf").write_text("LIVE_HOOKS=medium\n")
    (live / "config-hooks/10-own").write_text("#!/bin/sh\n")
    imported(built, tmp_path / "release")
    layer = unpacked(tmp_path / "release/plugins/90-live-medium.squashfs", tmp_path / "layer")
    medium = layer / "usr/lib/live/mount/medium/live"
    assert (medium / "config.conf").read_text() == "LIVE_HOOKS=medium\n"
    assert (medium / "config-hooks/10-own").stat().st_mode & 0o777 == 0o755
    assert "L /run/live - - - - /lib/live/mount" in (layer / "usr/lib/tmpfiles.d/swarmboot-live.conf").read_text()
    assert (layer / "etc/resolv.conf").readlink() == Path("/run/swarmboot/etc/resolv.conf")


def test_a_root_that_looks_after_its_name_servers_keeps_its_resolv_conf(tmp_path: Path) -> None:
    root = write_small_root(tmp_path / "root")
    (root / "usr/sbin/NetworkManager").touch()
    imported(write_built(tmp_path / "built", root), tmp_path / "release")
    layer = unpacked(tmp_path / "release/plugins/90-live-medium.squashfs", tmp_path / "layer")
    assert not (layer / "etc").exists()


@pytest.mark.needs("modinfo", "as")
def test_firmware_that_the_roots_network_cards_ask_for_is_there_for_the_initramfs(tmp_path: Path) -> None:
    root = write_small_root(tmp_path / "root")
    drivers, firmware = root / f"usr/lib/modules/{VERSION}/kernel/drivers", root / "usr/lib/firmware"
    for name in ("net/ethernet", "gpu"):
        (drivers / name).mkdir(parents=True)
    (firmware / "acme").mkdir(parents=True)
    write_module(drivers / "net/ethernet/card.ko", "acme/card-*.fw", "old.fw")
    write_module(drivers / "gpu/gpu.ko", "gpu.fw")
    for name in ("acme/card-1.fw.xz", "gpu.fw", "other.fw"):
        (firmware / name).write_bytes(name.encode())
    (firmware / "old.fw").symlink_to("acme/real")
    (firmware / "acme/real").write_bytes(b"real")
    imported(write_built(tmp_path / "built", root), tmp_path / "release")
    taken = tmp_path / "release/.live/lib/firmware"
    names = sorted(str(path.relative_to(taken)) for path in taken.rglob("*") if not path.is_dir())
    assert names == ["acme/card-1.fw.xz", "acme/real", "old.fw"]
    assert (taken / "old.fw").read_bytes() == b"real"


@pytest.mark.needs("modinfo", "as")
def test_what_an_image_brings_stays_in_the_release_and_reads_nothing_of_this_machine(tmp_path: Path) -> None:
    (outside := tmp_path / "outside").mkdir()
    (outside / "key").write_text("a secret of this machine")
    root, over = write_small_root(tmp_path / "root"), tmp_path / "over"
    modules = root / f"usr/lib/modules/{VERSION}"
    (modules / "kernel/drivers/net/ethernet").mkdir(parents=True)
    write_module(modules / "kernel/drivers/net/ethernet/card.ko", "card.fw")
    (modules / "kernel/key.ko").symlink_to(outside / "key")
    config = root / f"boot/config-{VERSION}"
    config.unlink(missing_ok=True)
    config.parent.mkdir(exist_ok=True)
    config.symlink_to(outside)
    (over / f"boot/config-{VERSION}").mkdir(parents=True)
    (over / f"boot/config-{VERSION}/evil").write_text("evil")
    (over / "usr/lib/firmware").mkdir(parents=True)
    (over / "usr/lib/firmware/card.fw").symlink_to(f"../../../boot/config-{VERSION}/evil")
    built = write_built(tmp_path / "built", root)
    pack_root(over, built / "debian-live/live/zz-over.squashfs")
    imported(built, tmp_path / "release")
    assert [path.name for path in outside.iterdir()] == ["key"]
    taken = [path for path in (tmp_path / "release/.live").rglob("*") if not path.is_dir() or path.is_symlink()]
    assert {path.name for path in taken if path.suffix in (".ko", ".fw")} == {"card.ko", "overlay.ko"}
    assert not [path for path in taken if path.is_symlink()]
    assert not (tmp_path / f"release/.live/boot/config-{VERSION}").exists()


@pytest.mark.needs("modinfo", "as")
def test_firmware_that_leads_elsewhere_in_the_root_brings_nothing_of_that(tmp_path: Path) -> None:
    root = write_small_root(tmp_path / "root")
    (drivers := root / f"usr/lib/modules/{VERSION}/kernel/drivers/net/ethernet").mkdir(parents=True)
    write_module(drivers / "card.ko", "all.fw", "etc.fw", "own.fw", "plain.fw")
    (firmware := root / "usr/lib/firmware").mkdir()
    (firmware / "all.fw").symlink_to("/")
    (firmware / "etc.fw").symlink_to("../../../etc")
    (firmware / "own.fw").symlink_to("/lib/firmware/plain.fw")
    (firmware / "plain.fw").write_bytes(b"plain")
    imported(write_built(tmp_path / "built", root), tmp_path / "release")
    parts = tmp_path / "release/.live"
    assert sorted(path.name for path in parts.iterdir()) == ["boot", "lib", "made-of.json"]
    assert {path.name: path.read_bytes() for path in (parts / "lib/firmware").iterdir()} == {
        "own.fw": b"plain",
        "plain.fw": b"plain",
    }


def write_module(path: Path, *firmware: str) -> None:
    """Write an object file that says of itself, as a kernel module does, which firmware it asks for."""
    asked = "".join(f'.asciz "firmware={name}"\n' for name in firmware)
    source = f'.section .modinfo,"a"\n{asked}'
    subprocess.run(("as", "-o", str(path), "-"), input=source.encode(), check=True)


def test_a_release_is_beside_its_image_and_called_as_that_was(
    tar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("release", "import", tar.name, "--no-initramfs")
    assert "release: live-image-amd64.release\n" in done.out
    assert str(tmp_path) not in done.out


def test_the_same_image_gives_the_same_bytes_and_nothing_is_done_twice(tar: Path, tmp_path: Path) -> None:
    imported(tar, tmp_path / "one")
    imported(tar, tmp_path / "two")
    for name in ("rootfs.squashfs", "plugins/90-live-medium.squashfs", "release.toml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    before = (tmp_path / "one/rootfs.squashfs").stat().st_ino
    assert "taken over before" in imported(tar, tmp_path / "one")
    assert (tmp_path / "one/rootfs.squashfs").stat().st_ino == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_one_command_takes_a_netboot_tar_over_and_publishes_it(
    tar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("mksquashfs", "unsquashfs", "zstd"):  # and no generator of an initramfs
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or "/nowhere")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    run("keygen", "--out", tmp_path / "keys")
    before = sorted(tmp_path.iterdir())
    assert "is a Debian Live image: kernel tftpboot/live/vmlinuz" in run("publish", tar, "--check").out
    assert sorted(tmp_path.iterdir()) == before
    done = run("publish", tar, "--key", tmp_path / "keys/swarmboot.key", "--force")
    assert done.status == 0, done.err
    assert "published live-image-amd64 as manifest 1" in done.out
    assert run("verify", tmp_path / "site", "--trust", tmp_path / "keys/swarmboot.pub").status == 0


def test_further_images_of_a_root_lie_over_it_in_live_boots_order(built: Path, tmp_path: Path) -> None:
    live = built / "debian-live/live"
    for name in ("extra", "above"):
        (tmp_path / name / "opt").mkdir(parents=True)
        (tmp_path / name / "opt/who").write_text(name)
        pack_root(tmp_path / name, live / f"{name}.squashfs")
    (live / "filesystem.module").write_text("filesystem.squashfs extra.squashfs\nabove.squashfs\n")
    imported(built, tmp_path / "release")
    names = sorted(path.name for path in (tmp_path / "release/plugins").iterdir())
    assert names == ["01-extra.squashfs", "02-above.squashfs", "90-live-medium.squashfs"]
    assert 'allow = ["devices", "setuid"]' in (tmp_path / "release/release.toml").read_text()


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("tar", "is cut short"),
        ("tar.gz", "cannot be unpacked"),
        pytest.param("iso", "cannot be read as an ISO", marks=needs_iso),
    ],
)
def test_an_image_that_is_cut_short_is_refused_and_leaves_nothing(
    built: Path, tmp_path: Path, form: str, why: str
) -> None:
    image = image_of(form, built, tmp_path)
    data = image.read_bytes().rstrip(b"\0")  # an ISO ends in 300 KiB of nothing, a tar in its end
    image.write_bytes(data[: -min(2048, len(data) // 2)])
    said = imported(image, tmp_path / "release", code=50)
    assert said.count("\n") == 1
    assert f"{image} {why}" in said
    assert not (tmp_path / "release").exists()


def test_a_tar_without_its_end_is_refused(tar: Path, tmp_path: Path) -> None:
    whole = tar.read_bytes()
    tar.write_bytes(whole[: -(-len(whole.rstrip(b"\0")) // 512) * 512])
    assert "is cut short" in imported(tar, tmp_path / "release", code=50)


def test_two_kernels_are_told_apart_by_the_menu_and_refused_without_one(built: Path, tmp_path: Path) -> None:
    boot = built / "tftpboot"
    (boot / "live/vmlinuz").unlink()
    (boot / "live/vmlinuz-6.1.0-13-amd64").write_bytes(kernel_bytes("6.1.0-13-amd64") + b"x")
    (boot / "live.cfg").write_text(f"label a\nlinux /live/vmlinuz-{VERSION}\nappend {ARGUMENTS}\n")
    said = imported(built, tmp_path / "release")
    assert f"kernel {VERSION}" in said
    assert "tftpboot/live/vmlinuz-6.1.0-13-amd64: not the kernel that is started" in said
    (boot / "live.cfg").unlink()
    said = imported(built, tmp_path / "other", code=50)
    assert "does not say which kernel it boots" in said
    assert f"tftpboot/live/vmlinuz-{VERSION}, tftpboot/live/vmlinuz-6.1.0-13-amd64" in said


def test_a_kernel_without_its_modules_in_the_root_is_refused(tmp_path: Path) -> None:
    built = write_built(tmp_path / "built", write_small_root(tmp_path / "root"), version="6.1.0-50-amd64")
    said = imported(built, tmp_path / "release", code=50)
    assert "has no modules of its kernel tftpboot/live/vmlinuz: expected lib/modules/6.1.0-50-amd64" in said
    assert f"found {VERSION}" in said
    assert not (tmp_path / "release").exists()


def test_an_image_without_a_root_is_refused(built: Path, tmp_path: Path) -> None:
    (built / "debian-live/live/filesystem.squashfs").unlink()
    tar = write_netboot_tar(tmp_path / "x.netboot.tar", built)
    assert "is no Debian Live image: expected live/filesystem.squashfs" in imported(tar, tmp_path / "r", code=51)


@needs_iso
def test_an_iso_of_something_else_is_refused_with_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "other/casper").mkdir(parents=True)
    (tmp_path / "other/grub.cfg").write_text("menuentry 'x' {\n linux /casper/vmlinuz boot=casper ---\n}\n")
    iso = tmp_path / "other.iso"
    command = ("xorriso", "-as", "mkisofs", "-quiet", "-r", "-o", str(iso), str(tmp_path / "other"))
    subprocess.run(command, check=True, capture_output=True)
    said = imported(iso, tmp_path / "r", code=51)
    assert "found boot=casper, another way of booting" in said


def test_an_iso_needs_bsdtar_and_says_so(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    iso = tmp_path / "x.iso"
    iso.write_bytes(bytes(0x8001) + b"CD001" + bytes(2048))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install the packages libarchive-tools" in imported(iso, tmp_path / "r", code=64)


def test_persistence_is_refused_unless_the_image_says_otherwise_itself(tmp_path: Path) -> None:
    root = write_small_root(tmp_path / "root")
    built = write_built(tmp_path / "built", root, arguments="boot=live components persistence")
    said = imported(built, tmp_path / "release", code=50)
    assert "asks for changes to outlive a boot" in said
    (built / "release.toml").write_text('name = "mine"\ncmdline = "boot=live components"\n')
    imported(built, tmp_path / "release")
    assert 'name = "mine"' in (tmp_path / "release/release.toml").read_text()


def test_a_link_out_of_the_folder_is_not_followed(built: Path, tmp_path: Path) -> None:
    image = built / "debian-live/live/filesystem.squashfs"
    image.rename(tmp_path / "outside.squashfs")
    image.symlink_to(tmp_path / "outside.squashfs")
    assert "leads out of the folder" in imported(built, tmp_path / "release", code=53)


def test_what_somebody_has_put_into_the_release_is_not_lost(tar: Path, built: Path, tmp_path: Path) -> None:
    imported(tar, tmp_path / "release")
    (tmp_path / "release/plugins/50-mine.squashfs").write_bytes(b"mine")
    (built / "tftpboot/live.cfg").write_text(f"label a\nlinux /live/vmlinuz\nappend {ARGUMENTS} noroot\n")
    write_netboot_tar(tar, built)
    assert "plugins/50-mine.squashfs in it is somebody's own" in imported(tar, tmp_path / "release", code=52)
    assert (tmp_path / "release/plugins/50-mine.squashfs").read_bytes() == b"mine"


def test_a_file_of_something_else_is_told_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nothing")
    assert "is no system that is known here" in run("publish", tmp_path / "x").err
    assert "is no system that is known here" in imported(tmp_path / "x", tmp_path / "r", code=50)
