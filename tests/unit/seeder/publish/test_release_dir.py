"""A release directory: what is found in it, and everything that makes it unfit to publish."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from seeder.publish.release_dir import ROOT_FORMATS, Release, read_release
from swarmboot.errors import EscapeError, NoRootImageError, ReleaseError, SwarmbootError, UnreadableError
from swarmboot.release.manifest import Role
from tests.support.builders import build_release


def found(release: Release) -> list[tuple[str, str, str]]:
    return [(file.role.value, file.label, file.format) for file in release.files]


def test_a_whole_release_is_found_in_the_manifests_order(tmp_path: Path) -> None:
    files = {
        "vmlinuz": b"kernel",
        "initramfs.img": b"initramfs",
        "env/20-b.env": b"A=2\n",
        "env/10-a.env": b"A=1\nB=1\n",
        "release.toml": b'name = "debian"\ncmdline = "quiet"\n',
        ".hidden": b"x",
        "README": b"x",
    }
    release = read_release(build_release(tmp_path, files=files, plugins=["20-b.squashfs", "10-a.squashfs"]))
    assert found(release) == [
        ("kernel", "vmlinuz", "linux"),
        ("initramfs", "initramfs.img", "cpio"),
        ("root", "rootfs.squashfs", "squashfs"),
        ("plugin", "plugins/10-a.squashfs", "squashfs"),
        ("plugin", "plugins/20-b.squashfs", "squashfs"),
    ]
    assert release.name == "debian"
    assert release.settings.cmdline == "quiet"
    assert release.env == {"A": "2", "B": "1"}
    assert release.notes == ()


def test_a_root_image_alone_is_a_release_named_after_its_folder(tmp_path: Path) -> None:
    release = read_release(build_release(tmp_path / "debian-12"))
    assert found(release) == [("root", "rootfs.squashfs", "squashfs")]
    assert release.name == "debian-12"


@pytest.mark.parametrize("kind", ROOT_FORMATS)
def test_every_kind_of_root_image_is_known_by_its_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"rootfs.{kind}").write_bytes(b"\x1f\x8b" if kind.endswith("gz") else b"\x28\xb5\x2f\xfd")
    assert found(read_release(tmp_path)) == [("root", f"rootfs.{kind}", kind)]


def test_coinboots_names_and_plugins_are_known(tmp_path: Path) -> None:
    files = {"vmlinuz-6.1.0-13": b"k", "initramfs-6.1.0-13": b"i", "plugins/gpu.tar.gz": b"\x1f\x8b\x08"}
    assert found(read_release(build_release(tmp_path, files=files))) == [
        ("kernel", "vmlinuz-6.1.0-13", "linux"),
        ("initramfs", "initramfs-6.1.0-13", "cpio"),
        ("root", "rootfs.squashfs", "squashfs"),
        ("plugin", "plugins/gpu.tar.gz", "tar.gz"),
    ]


def test_a_plain_name_beats_a_versioned_one(tmp_path: Path) -> None:
    release = read_release(build_release(tmp_path, files={"vmlinuz-6.1": b"old", "vmlinuz": b"new"}))
    assert [file.name for file in release.files if file.role is Role.KERNEL] == ["vmlinuz"]


def test_two_versioned_kernels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"more than one kernel: .* found vmlinuz-6\.1, vmlinuz-6\.2"):
        read_release(build_release(tmp_path, files={"vmlinuz-6.1": b"a", "vmlinuz-6.2": b"b"}))


def test_what_is_not_published_is_said(tmp_path: Path) -> None:
    release = read_release(build_release(tmp_path, files={"plugins/notes.txt": b"x", "env/notes.txt": b"x"}))
    assert sorted(note.split(" is")[0] for note in release.notes) == ["env/notes.txt", "plugins/notes.txt"]


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    files = {"release.toml": b'\xef\xbb\xbfname = "windows"', "env/a.env": b"\xef\xbb\xbfA=1\r\n"}
    release = read_release(build_release(tmp_path, files=files))
    assert (release.name, dict(release.env)) == ("windows", {"A": "1"})


def test_a_release_without_a_root_image_names_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"k")
    with pytest.raises(NoRootImageError) as refused:
        read_release(tmp_path)
    assert all(f"rootfs.{kind}" in str(refused.value) for kind in ROOT_FORMATS)


def test_two_root_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoRootImageError, match=r"more than one root image: .* found rootfs\.squashfs, rootfs\.tar\.gz"):
        read_release(build_release(tmp_path, files={"rootfs.tar.gz": b"x"}))


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_empty(path: Path) -> None:
    path.touch()


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("label", ["rootfs.squashfs", "vmlinuz", "plugins/a.squashfs"])
@pytest.mark.parametrize("make", [make_folder, make_pipe, make_empty, make_dangling])
def test_what_is_no_file_with_something_in_it_is_refused(
    tmp_path: Path, label: str, make: Callable[[Path], None]
) -> None:
    build_release(tmp_path, plugins=["b.squashfs"])
    (tmp_path / label).unlink(missing_ok=True)
    make(tmp_path / label)
    with pytest.raises(UnreadableError, match=f"^{label} (is|cannot)"):
        read_release(tmp_path)


@pytest.mark.parametrize("label", ["rootfs.squashfs", "vmlinuz", "plugins/a.squashfs", "env/a.env", "release.toml"])
def test_a_link_that_leads_out_of_the_release_is_refused(tmp_path: Path, label: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("name = 'x'")
    release = build_release(tmp_path / "release", files={"env/b.env": b"", "plugins/b.squashfs": b"hsqs"})
    (release / label).unlink(missing_ok=True)
    (release / label).symlink_to(secret)
    with pytest.raises(EscapeError, match=f"{label} is a link that leads out of the release.*{secret}"):
        read_release(release)


def test_a_folder_that_is_a_link_out_of_the_release_is_refused(tmp_path: Path) -> None:
    outside = build_release(tmp_path / "outside", plugins=["a.squashfs"])
    release = build_release(tmp_path / "release")
    (release / "plugins").symlink_to(outside / "plugins")
    with pytest.raises(EscapeError, match="plugins is a link"):
        read_release(release)


def test_a_link_that_stays_inside_is_followed(tmp_path: Path) -> None:
    release = build_release(tmp_path, files={"images/v2": b"hsqs"})
    (release / "rootfs.squashfs").unlink()
    (release / "rootfs.squashfs").symlink_to("images/v2")
    (file,) = read_release(release).files
    assert (file.path, file.name) == (release / "images" / "v2", "rootfs.squashfs")


def test_a_release_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    build_release(tmp_path / "v2")
    (tmp_path / "current").symlink_to("v2")
    assert found(read_release(tmp_path / "current")) == [("root", "rootfs.squashfs", "squashfs")]


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        ({"plugins/a b.squashfs": b"hsqs"}, ReleaseError, "has a name that cannot be published"),
        (
            {"plugins/rootfs.squashfs": b"hsqs"},
            ReleaseError,
            "rootfs.squashfs and plugins/rootfs.squashfs share a name",
        ),
        ({"env/a.env": b"\xff"}, ReleaseError, "env/a.env is no text"),
        ({"env/a.env": b"A=1\nbad line\n"}, ReleaseError, "env/a.env:2 is no setting"),
        ({"release.toml": b"nmae = 1"}, ReleaseError, "release.toml:1: nmae is no key"),
        ({"env/a.env": b"#" * ((1 << 20) + 1)}, ReleaseError, "env/a.env is too large"),
        ({"plugins/a.squashfs": b""}, UnreadableError, "plugins/a.squashfs is empty"),
    ],
)
def test_a_fault_is_named_by_its_file(
    tmp_path: Path, files: dict[str, bytes], kind: type[SwarmbootError], words: str
) -> None:
    with pytest.raises(kind) as refused:
        read_release(build_release(tmp_path, files=files))
    assert words in str(refused.value)


def test_no_directory_is_no_release(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("none", "file"):
        with pytest.raises(UnreadableError, match="is no release"):
            read_release(tmp_path / name)


def test_more_plugins_than_a_manifest_can_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="too many files: expected at most 256, found 257"):
        read_release(build_release(tmp_path, plugins=[f"{number:03}.squashfs" for number in range(256)]))


def test_a_file_of_secrets_that_everybody_on_the_machine_can_read_is_noted(tmp_path: Path) -> None:
    folder = build_release(tmp_path, files={"env/a.secret.env": b"KEY=x\n", "env/b.env": b"A=b\n"})
    (folder / "env/a.secret.env").chmod(0o644)
    assert read_release(folder).notes == (
        "everybody on this machine can read env/a.secret.env: chmod 600 env/a.secret.env",
    )
    (folder / "env/a.secret.env").chmod(0o640)
    assert read_release(folder).notes == ()


def test_a_setting_that_is_secret_is_no_hosts_either(tmp_path: Path) -> None:
    hosts = b"mac,environment\n52:54:00:12:34:56,TOKEN=x\n"
    files = {"env/a.secret.env": b"TOKEN=y\n", "nodes/hosts.csv": hosts}
    with pytest.raises(ReleaseError, match="TOKEN is secret in one place and public in another"):
        read_release(build_release(tmp_path, files=files))
