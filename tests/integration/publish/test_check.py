"""`publish` looks at a release first: everything that no machine can boot is refused at once, the rest are notes."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmboot.errors import KeyFileError, NoRootImageError, ReleaseError
from tests.support.commands import run
from tests.support.releases.bootable_roots import cpio, loader
from tests.support.releases.publishing import published
from tests.support.releases.release_bench import BOOTS, REFUSED, Bench

pytestmark = pytest.mark.needs("mksquashfs", "unsquashfs")


@pytest.mark.parametrize("image", ["rootfs.squashfs", "rootfs.tar.gz", "rootfs.tar.zst"])
def test_a_root_that_boots_is_published_without_a_note(bench: Bench, image: str) -> None:
    bench.image = image
    assert bench.check() == (BOOTS, "", "")
    done = bench.publish()
    assert (done.status, "note:" in done.out) == (0, False), done.err


@pytest.mark.needs("cpio")
def test_a_cpio_root_of_several_archives_is_looked_through_to_its_end(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "late/usr/sbin").mkdir(parents=True)
    init = bench.root / "usr/sbin/init"
    (tmp_path / "late/usr/sbin/init").symlink_to(init.readlink())
    init.unlink()
    whole = cpio(bench.root) + bytes(512) + cpio(tmp_path / "late")
    bench.file("rootfs.cpio.gz", gzip.compress(whole))
    assert bench.publish("--check").status == BOOTS
    bench.file("rootfs.cpio.gz", gzip.compress(cpio(bench.root)))
    assert "has no init" in bench.publish("--check").err


def test_a_check_writes_nothing_and_a_refusal_neither(bench: Bench) -> None:
    (bench.root / "usr/sbin/init").unlink()
    bench.pack()
    for options in (["--check"], []):
        done = bench.publish(*options)
        assert done.status == REFUSED
        assert done.err.startswith("refused: rootfs.squashfs has no init: expected /sbin/init or /etc/init")
        assert "--force" in done.line
        assert not (bench.folder / "site").exists()


def test_force_publishes_what_cannot_boot_and_says_so(bench: Bench) -> None:
    (bench.root / "usr/sbin/init").unlink()
    bench.pack()
    done = bench.publish("--force")
    assert done.status == 0
    assert "note: published all the same: rootfs.squashfs has no init" in done.out
    assert published(bench.folder / "site")
    assert bench.publish("--check", "--force").status == REFUSED


def test_all_that_is_wrong_is_said_at_once(bench: Bench) -> None:
    (bench.root / "usr/sbin/init").unlink()
    (bench.root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    bench.plugin("10-a.squashfs").joinpath("lib").mkdir()
    bench.file("vmlinuz", b"no kernel")
    bench.file("initrd")
    bench.pack()
    done = bench.publish()
    lines = done.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["refused"] * 3 + ["note"] * 3 + ["swarmboot"]
    assert "3 reasons" in lines[-1]


@pytest.mark.parametrize("plugin", ["10-odd.tar.gz", "10-odd.squashfs"])
def test_names_in_an_archive_are_shown_as_a_terminal_can_show_them(bench: Bench, plugin: str) -> None:
    program = Path(os.fsdecode(os.fsencode(bench.plugin(plugin)) + b"/\x1b[2J\xff"))
    program.write_bytes(b"x")
    program.chmod(0o4755)
    bench.pack()
    done = bench.publish()
    assert done.status == REFUSED
    assert r"\x1b[2J\udcff (setuid)" in done.err
    assert all(line.isprintable() for line in done.err.splitlines())


def test_a_release_that_cannot_be_read_at_all_keeps_its_own_status(bench: Bench) -> None:
    bench.file("vmlinuz")
    assert bench.publish("--check").status == NoRootImageError.exit_status


def remove_init(root: Path) -> None:
    (root / "usr/sbin/init").unlink()


def make_plain(root: Path) -> None:
    (root / "usr/lib/systemd/systemd").chmod(0o644)


def remove_loader(root: Path) -> None:
    (root / loader().lstrip("/")).unlink()


def make_text(root: Path) -> None:
    (root / "usr/lib/systemd/systemd").write_text("no program\n")


def make_script(root: Path) -> None:
    (root / "usr/lib/systemd/systemd").write_text("#!/bin/nothere -e\n")


def make_circle(root: Path) -> None:
    remove_init(root)
    (root / "usr/sbin/init").symlink_to("/sbin/init")


def lead_out(root: Path) -> None:
    remove_init(root)
    (root / "usr/sbin/init").symlink_to("/bin/true")


def make_live(root: Path) -> None:
    shutil.rmtree(root)
    (root / "LiveOS").mkdir(parents=True)
    (root / "LiveOS/rootfs.img").write_bytes(bytes(5000))


def make_casper(root: Path) -> None:
    shutil.rmtree(root)
    (root / "casper").mkdir(parents=True)
    (root / "casper/filesystem.squashfs").write_bytes(b"hsqs")


@pytest.mark.parametrize("image", ["rootfs.squashfs", "rootfs.tar.gz"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (remove_init, "has no init"),
        (make_plain, "/sbin/init, which is no file that may be executed"),
        (remove_loader, "lacks what starts /usr/lib/systemd/systemd"),
        (make_text, "neither a program nor a script"),
        (make_script, "/bin/nothere, which it names"),
        (make_circle, "has no init"),
        (lead_out, "has no init"),
        (make_live, "a live system's image and no system"),
        (make_casper, "a live system's image and no system"),
    ],
)
def test_a_root_that_cannot_start_its_init_is_refused(
    bench: Bench, spoil: Callable[[Path], None], words: str, image: str
) -> None:
    bench.image = image
    spoil(bench.root)
    status, refused, _ = bench.check()
    assert (status, refused.count("\n")) == (REFUSED, 0)
    assert words in refused


def test_an_init_that_the_command_line_names_is_the_one_that_counts(bench: Bench) -> None:
    bench.file(
        "release.toml", 'cmdline = "init=/usr/lib/systemd/systemd"\n[[profiles]]\nname = "x"\ncmdline = "init=/x"'
    )
    status, refused, _ = bench.check()
    assert (status, "profile x: rootfs.squashfs has no init" in refused) == (REFUSED, True)
    remove_init(bench.root)
    bench.file("release.toml", 'cmdline = "init=/usr/lib/systemd/systemd"')
    assert bench.check()[0] == BOOTS


@pytest.mark.parametrize("image", ["rootfs.squashfs", "rootfs.tar.zst"])
def test_what_an_installed_machine_has_left_is_noted(bench: Bench, image: str) -> None:
    bench.image = image
    (bench.root / "etc/machine-id").touch()
    (bench.root / "var/lib/dbus").mkdir(parents=True)
    (bench.root / "var/lib/dbus/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (bench.root / "etc/ssh").mkdir()
    (bench.root / "etc/ssh/ssh_host_ed25519_key").write_text("key")
    (bench.root / "etc/fstab").write_text(
        "# / was on /dev/sda1\nUUID=12-34 / ext4 defaults 0 1\n/dev/sda5 none swap sw 0 0\n"
        "/dev/sdb1 /data ext4 nofail 0 2\ntmpfs /tmp tmpfs defaults 0 0\n"
    )
    status, refused, noted = bench.check()
    assert (status, refused, noted.count("\n")) == (BOOTS, "", 2)
    assert "UUID=12-34 on /, /dev/sda5 on none" in noted
    assert "/data" not in noted
    assert "machine-id, which all nodes will share" in noted
    assert "var/lib/dbus/machine-id" in noted
    assert "etc/ssh/ssh_host_ed25519_key" in noted


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("rootfs.squashfs", b"random bytes", "does not begin as a squashfs does"),
        ("rootfs.squashfs", b"hsqs" + bytes(9000), "cannot be read as a squashfs"),
        ("rootfs.tar.gz", b"random bytes", "does not begin as a gz does"),
        ("rootfs.tar.gz", gzip.compress(b"x" * 9000), "is no whole tar archive"),
        ("rootfs.tar.gz", gzip.compress(bytes(1 << 20))[:-100], "cannot be unpacked"),
        ("rootfs.cpio.gz", gzip.compress(b"x" * 9000), "is no cpio archive"),
    ],
)
def test_an_image_that_is_not_what_its_name_says_is_refused(bench: Bench, name: str, data: bytes, words: str) -> None:
    bench.file(name, data)
    done = bench.publish("--check")
    assert (done.status, words in done.err) == (REFUSED, True), done.err


def test_half_a_squashfs_is_refused(bench: Bench) -> None:
    (bench.root / "etc/large").write_bytes(os.urandom(100_000))
    bench.pack()
    image = bench.release / "rootfs.squashfs"
    os.truncate(image, image.stat().st_size // 2)
    done = bench.publish("--check")
    assert (done.status, "cannot be read as a squashfs" in done.err) == (REFUSED, True)


def test_without_unsquashfs_one_note_says_what_was_not_looked_into(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_init(bench.root)
    bench.plugin("10.squashfs").joinpath("x").write_text("x")
    bench.pack()
    monkeypatch.setenv("PATH", str(tmp_path))
    done = bench.publish("--check")
    assert done.status == BOOTS
    (line,) = done.out.splitlines()
    assert line.startswith(
        "note: rootfs.squashfs, plugins/10.squashfs was not looked into: unsquashfs is not installed"
    )


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("initrd", "initramfs.img"),
        ("initrd.gz", "initramfs.img"),
        ("bzImage", "vmlinuz"),
        ("Image", "vmlinuz"),
        ("plugin", "plugins/"),
        ("environment", "env/"),
        ("Release.toml", "release.toml"),
        ("filesystem.squashfs", "rootfs.squashfs"),
        ("rootfs.tar", "rootfs.tar.gz"),
        ("a.env", "env/"),
        ("README", ""),
    ],
)
def test_a_name_that_is_passed_over_is_noted_with_what_it_should_be_called(bench: Bench, name: str, right: str) -> None:
    bench.file(name)
    status, _, noted = bench.check()
    assert status == BOOTS
    assert f"{name} is not published: no part of a release has this name {right}" in noted


@pytest.mark.parametrize("word", ["ip=${net0/ip}", "a'b", "x || y", "a #b", "a\\\\b"])
def test_words_that_no_boot_script_can_carry_are_refused_with_all_else_and_by_force_too(
    bench: Bench, word: str
) -> None:
    remove_init(bench.root)
    bench.file("release.toml", f'cmdline = "{word}"\n[[profiles]]\nname = "a"\ncmdline = "{word}"')
    status, refused, _ = bench.check()
    assert (status, refused.count("cannot be written into a boot script")) == (REFUSED, 1)
    assert "has no init" in refused
    assert bench.publish("--force").status == ReleaseError.exit_status
    assert not (bench.folder / "site").exists()


def test_a_quoted_word_with_blanks_reaches_the_kernel_by_both_loaders_and_is_accepted(bench: Bench) -> None:
    bench.file("release.toml", """cmdline = 'dyndbg="file drivers/net/* +p"'""")
    assert bench.check()[0] == BOOTS


def test_a_check_needs_no_key_where_the_site_was_published_with_one(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.pack()
    assert bench.publish().status == 0
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nobody"))
    words = ("publish", bench.release, "--site", bench.folder / "site")
    done = run(*words, "--check")
    assert (done.status, "note: no signing key is here" in done.err) == (BOOTS, True), done.err
    assert run(*words).status == KeyFileError.exit_status
