"""Coinboot's server folder is taken over as it is: what was packed by its documents is found again, byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.coinboot import BUILT_S, TOOL, VERSION, write_plugin, write_server, write_small_root
from tests.support.commands import run

pytestmark = pytest.mark.needs("mksquashfs", "unsquashfs", "cpio", "zstd", "gzip")


def imported(server: Path, *more: object, code: int = 0) -> str:
    done = run("release", "import", server, "--no-initramfs", *more)
    assert done.status == code, done.err
    return done.out + done.err


@pytest.fixture
def server(tmp_path: Path) -> Path:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"a kernel")
    made = write_server(tmp_path / "server", write_small_root(tmp_path / "root"), kernel=kernel)
    tool = {"usr/bin/acme-tool": b"#!/bin/sh\n", "var/lib/dpkg/info/acme-tool.list": b"/.\n/usr/bin/acme-tool\n"}
    write_plugin(made / "plugins/enabled/acme_v1.tar.gz", tool, status=TOOL)
    return made


def unpacked(release: Path, to: Path) -> Path:
    image = release / "rootfs.squashfs"
    subprocess.run(("unsquashfs", "-quiet", "-no-progress", "-dest", str(to), str(image)), check=True)
    return to


def test_a_server_folder_becomes_a_release_with_the_nested_root(server: Path, tmp_path: Path) -> None:
    said = imported(server, "--out", str(tmp_path / "release"))
    release, root = tmp_path / "release", unpacked(tmp_path / "release", tmp_path / "found")
    names = sorted(str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").rglob("*"))
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == names
    assert (root / "etc/one").read_text() == (root / "etc/two").read_text() == "linked\n"
    assert (root / "etc/one").stat().st_ino == (root / "etc/two").stat().st_ino
    assert (root / "lib").readlink() == Path("usr/lib")
    assert (root.stat().st_mode & 0o777, root.stat().st_mtime) == (0o755, BUILT_S)
    assert (release / "vmlinuz").read_bytes() == b"a kernel"
    assert 'name = "coinboot-20220115"' in (release / "release.toml").read_text()
    assert 'cmdline = "ignore_loglevel net.ifnames=0"' in (release / "release.toml").read_text()
    assert "COMPANY=ACME & sons" in (release / "env/default.env").read_text()
    assert f"hook build-initramfs --lean --kernel {VERSION} --modules {release}/.coinboot" in said
    assert (release / f".coinboot/lib/modules/{VERSION}/modules.dep").is_file()


def test_what_is_not_taken_over_is_named_in_one_list(server: Path, tmp_path: Path) -> None:
    (server / "plugins/off.tar.gz").write_bytes(b"")
    (server / "plugins/enabled/notes.txt").write_text("x")
    lost = imported(server).partition("not taken over, ")[2]
    for name in (
        "boot/coinboot.ipxe: coinboot-server=", "boot/undionly.kpxe", "conf/dnsmasq", "docker-compose.yml",
        "plugins/off.tar.gz", "plugins/enabled/notes.txt",
    ):  # fmt: skip
        assert f"  {name}" in lost
    for name in ("coinboot-vmlinuz", "coinboot-initramfs", "acme_v1", "conf/environment"):
        assert f"  boot/{name}" not in lost
        assert f"  {name}" not in lost


@pytest.mark.needs("dpkg-query")
def test_dpkg_sees_a_plugins_package_and_the_roots_own(server: Path, tmp_path: Path) -> None:
    imported(server, "--out", str(tmp_path / "release"))
    root = unpacked(tmp_path / "release", tmp_path / "found")
    subprocess.run(("tar", "-C", str(root), "-xzf", str(tmp_path / "release/plugins/acme_v1.tar.gz")), check=True)
    query = (
        "dpkg-query",
        f"--admindir={root}/var/lib/dpkg",
        "--showformat=${Package} ${Version} ${db:Status-Abbrev}\n",
        "-W",
    )
    said = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split() for line in said] == [["acme-tool", "1.2-3", "ii"], ["base-files", "12.4", "ii"]]
    owner = ("dpkg-query", f"--admindir={root}/var/lib/dpkg", "-S", "/usr/bin/acme-tool")
    assert subprocess.run(owner, capture_output=True, text=True, check=True).stdout == "acme-tool: /usr/bin/acme-tool\n"
    assert not (root / "tmp/dpkg_status").exists()


def test_the_same_folder_gives_the_same_bytes_and_nothing_is_done_twice(server: Path, tmp_path: Path) -> None:
    imported(server, "--out", str(tmp_path / "one"))
    imported(server, "--out", str(tmp_path / "two"))
    for name in ("rootfs.squashfs", "plugins/acme_v1.tar.gz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert int.from_bytes((tmp_path / "one/rootfs.squashfs").read_bytes()[8:12], "little") == BUILT_S  # its own time
    before = (tmp_path / "one/rootfs.squashfs").stat().st_ino
    assert "taken over before" in imported(server, "--out", str(tmp_path / "one"))
    assert (tmp_path / "one/rootfs.squashfs").stat().st_ino == before
    (server / "conf/environment/default.env").write_text("A=2\n")
    imported(server, "--out", str(tmp_path / "one"))
    assert (tmp_path / "one/env/default.env").read_text() == "A=2\n"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("packer", ["gzip -9n", "xz --check=crc32 -0", "cat"])
def test_the_nested_root_is_known_by_its_bytes_however_it_is_named(tmp_path: Path, packer: str) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"k")
    server = write_server(tmp_path / "server", write_small_root(tmp_path / "root"), kernel=kernel, packer=packer)
    imported(server, "--out", str(tmp_path / "release"))
    assert (unpacked(tmp_path / "release", tmp_path / "found") / "sbin/init").exists()


@pytest.mark.needs("depmod")
def test_a_module_that_only_lies_beside_the_nested_root_is_found_by_the_root(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"k")
    name = f"lib/modules/{VERSION}/kernel/drivers/block/zram/zram.ko"
    root = write_small_root(tmp_path / "root")
    server = write_server(tmp_path / "server", root, kernel=kernel, beside={name: EMPTY_ELF})
    imported(server, "--out", str(tmp_path / "release"))
    found = unpacked(tmp_path / "release", tmp_path / "found")
    assert (found / name).read_bytes() == EMPTY_ELF
    assert (found / name).parent.stat().st_mtime == 0
    assert "kernel/drivers/block/zram/zram.ko:" in (found / f"lib/modules/{VERSION}/modules.dep").read_text()


EMPTY_ELF = (
    b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x01\0\x3e\0\x01\0\0\0" + bytes(20) + b"\0\0\0\0\x40\0\0\0\0\0\x40\0\0\0\0\0"
)


def test_one_command_takes_a_folder_over_and_publishes_it(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("mksquashfs", "unsquashfs", "gzip", "zstd", "depmod"):  # and no generator of an initramfs
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or "/nowhere")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    run("keygen", "--out", tmp_path / "keys")
    arguments = ("publish", server, "--site", tmp_path / "site", "--key", tmp_path / "keys/swarmboot.key", "--force")
    done = run(*arguments)
    assert done.status == 0, done.err
    assert "published coinboot-20220115 as manifest 1" in done.out
    assert f"hook build-initramfs --lean --kernel {VERSION}" in done.out
    assert "nothing changed" in run(*arguments).out
    assert run("verify", tmp_path / "site", "--trust", tmp_path / "keys/swarmboot.pub").status == 0


def test_looking_at_a_folder_writes_nothing(server: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    done = run("publish", server, "--check")
    assert (done.status, "boot/undionly.kpxe" in done.out) == (0, True)
    assert sorted(tmp_path.iterdir()) == before


def test_a_link_out_of_the_folder_is_not_followed(server: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.tar.gz").write_bytes(b"x")
    (server / "plugins/enabled/x.tar.gz").symlink_to(tmp_path / "outside.tar.gz")
    assert "leads out of the folder" in imported(server, code=53)


def test_a_folder_of_something_else_is_not_written_over(server: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis").write_text("x")
    assert "is there already" in imported(server, "--out", str(tmp_path / "mine"), code=52)
    assert (tmp_path / "mine/thesis").read_text() == "x"


def test_a_broken_archive_leaves_what_was_there(server: Path, tmp_path: Path) -> None:
    imported(server, "--out", str(tmp_path / "release"))
    before = sorted((tmp_path / "release").iterdir())
    path = server / f"boot/coinboot-initramfs-{VERSION}"
    path.write_bytes(path.read_bytes()[:-200])
    assert "cannot be unpacked" in imported(server, "--out", str(tmp_path / "release"), code=50)
    assert sorted((tmp_path / "release").iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_kernel_without_its_modules_in_the_root_is_refused(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"k")
    root = write_small_root(tmp_path / "root", version="6.1.0-13")
    assert "has no modules of the kernel" in imported(write_server(tmp_path / "server", root, kernel=kernel), code=50)


def test_a_plugin_that_is_cut_off_is_refused_by_its_name(server: Path) -> None:
    path = server / "plugins/enabled/acme_v1.tar.gz"
    path.write_bytes(path.read_bytes()[:-40])
    assert "plugins/acme_v1.tar.gz is no whole tar.gz" in imported(server, code=50)


def test_settings_keep_their_order_whatever_their_files_are_named(server: Path, tmp_path: Path) -> None:
    for name, value in (("a", "1"), ("a-b", "2"), ("a.env", "3")):
        (server / "conf/environment" / name).write_text(f"WHO={value}\n")
    imported(server, "--out", tmp_path / "release")
    texts = [path.read_text() for path in sorted((tmp_path / "release/env").iterdir())]
    assert [text for text in texts if "WHO" in text] == ["WHO=1\n", "WHO=2\n", "WHO=3\n"]


def test_a_packer_that_fails_is_one_line_and_leaves_nothing(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mksquashfs").write_text("#!/bin/sh\necho no room for it >&2\nexit 3\n")
    (tmp_path / "bin/mksquashfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    said = imported(server, "--out", tmp_path / "release", code=50)
    assert "rootfs.czst in boot/coinboot-initramfs-5.11.0-46-generic cannot be packed" in said
    assert "no room for it" in said
    assert not (tmp_path / "release").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_release_directory_is_never_taken_for_coinboots(tmp_path: Path) -> None:
    (tmp_path / "rootfs.squashfs").write_bytes(b"hsqs")
    (tmp_path / "coinboot.ipxe").write_text("#!ipxe\n")
    assert "is no system that is known here" in imported(tmp_path, code=50)


def test_the_kernel_is_the_one_that_the_settings_or_the_link_name(server: Path, tmp_path: Path) -> None:
    boot = server / "boot"
    shutil.copyfile(boot / f"coinboot-vmlinuz-{VERSION}", boot / "coinboot-vmlinuz-9.9.9-other")
    assert f"kernel {VERSION}" in imported(server, "--out", tmp_path / "by-link")
    (boot / "vmlinuz").unlink()
    assert "does not say which kernel it boots" in imported(server, "--out", tmp_path / "x", code=50)
    (server / "conf/environment/kernel.env").write_text(f"export KERNEL={VERSION}\n")
    assert f"kernel {VERSION}" in imported(server, "--out", tmp_path / "by-setting")
    (boot / "initramfs").unlink()
    (boot / "initramfs").symlink_to("coinboot-initramfs-9.9.9-other")
    (boot / "coinboot-initramfs-9.9.9-other").write_bytes(b"x")
    assert "boot/initramfs is another kernel's" in imported(server, "--out", tmp_path / "x", code=50)


def test_an_initramfs_that_is_itself_the_root_is_taken(tmp_path: Path) -> None:
    kernel, root = tmp_path / "kernel", write_small_root(tmp_path / "root")
    kernel.write_bytes(b"k")
    server = write_server(tmp_path / "server", root, kernel=kernel)
    initramfs = server / f"boot/coinboot-initramfs-{VERSION}"
    pack = f"find . -mindepth 1 | cpio --create --format=newc --quiet | gzip -n >{initramfs}"
    subprocess.run(("sh", "-c", pack), cwd=root, check=True)
    imported(server, "--out", tmp_path / "release")
    assert (unpacked(tmp_path / "release", tmp_path / "found") / "etc/one").read_text() == "linked\n"


def test_an_initramfs_without_a_root_is_refused(server: Path) -> None:
    pack = (
        f"echo etc/passwd | cpio --create --format=newc --quiet | gzip -n >{server}/boot/coinboot-initramfs-{VERSION}"
    )
    subprocess.run(("sh", "-c", pack), cwd="/", check=True)
    assert "holds no root: expected rootfs.cgz, rootfs.czst or rootfs.cxz" in imported(server, code=50)


def test_a_setting_that_a_shell_would_expand_stops_it_with_its_line(server: Path, tmp_path: Path) -> None:
    (server / "conf/environment/x.env").write_text("A=1\nB=$(touch /tmp/never)\n")
    assert "conf/environment/x.env:2 has a '$'" in imported(server, "--out", tmp_path / "release", code=50)
    assert not (tmp_path / "release").exists()


def test_links_that_lead_round_in_a_circle_are_a_file_that_is_not_there(server: Path) -> None:
    (server / "plugins/enabled/a.tar.gz").symlink_to("b.tar.gz")
    (server / "plugins/enabled/b.tar.gz").symlink_to("a.tar.gz")
    assert "plugins/enabled/a.tar.gz is not there" in imported(server, code=52)


def test_a_sparse_file_of_a_plugin_is_whole_in_the_release(server: Path, tmp_path: Path) -> None:
    (tmp_path / "sparse").write_bytes(b"x")
    os.truncate(tmp_path / "sparse", 1 << 20)
    plugin = server / "plugins/enabled/sparse.tar.gz"
    subprocess.run(("tar", "-C", str(tmp_path), "--sparse", "-czf", str(plugin), "sparse"), check=True)
    imported(server, "--out", tmp_path / "release")
    (tmp_path / "to").mkdir()
    taken = tmp_path / "release/plugins/sparse.tar.gz"
    subprocess.run(("tar", "-C", str(tmp_path / "to"), "-xzf", str(taken)), check=True)
    assert (tmp_path / "to/sparse").read_bytes() == b"x" + bytes((1 << 20) - 1)


@pytest.mark.parametrize("name", ["plugins/50-mine.squashfs", "release.toml", "notes"])
def test_what_somebody_has_put_into_the_release_is_not_lost_when_it_would_be_made_anew(
    server: Path, tmp_path: Path, name: str
) -> None:
    release = tmp_path / "release"
    imported(server, "--out", release)
    (release / "initramfs.img").write_bytes(b"built by hand")
    (release / name).write_text('name = "mine"\n')
    assert "taken over before" in imported(server, "--out", release)
    (server / "conf/environment/more.env").write_text("A=2\n")
    said = imported(server, "--out", release, code=52)
    assert f"{release} would be made anew, and {name} in it is somebody's own" in said
    assert (release / name).read_text() == 'name = "mine"\n'
    (release / name).unlink()
    if name == "release.toml":
        return
    imported(server, "--out", release)
    assert (release / "env/more.env").exists()
