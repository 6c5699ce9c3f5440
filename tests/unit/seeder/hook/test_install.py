"""What the hook's installation bakes in and where it puts files."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from seeder.hook import install
from seeder.hook.cli import hook
from seeder.hook.files import hook_folder
from seeder.hook.install import Bake
from seeder.hook.runtime_image import check_programs, is_for, notes_of_what_is_missing, read_recipe
from swarmboot.crypto.fleet_token import read_tokens, write_token
from swarmboot.errors import KeyFileError, MalformedSettingError, ResourceError, SwarmbootError, ToolMissingError


def test_the_fleets_trust_and_the_defaults_are_baked_in(tmp_path: Path, trust: Path, authority: Path) -> None:
    bake = Bake((trust,), authority, floor=41, built_unix_s=1_790_000_000, defaults={"rack": "r1"})
    install.install_config(tmp_path / "root", bake)
    config = tmp_path / "root/etc/swarmboot"
    assert (config / "fleet.pub").read_text() == trust.read_text()
    assert (config / "ca.pem").read_bytes() == authority.read_bytes()
    lines = (config / "defaults").read_text().splitlines()[1:]
    assert lines == [
        "rack=r1", "trust=/etc/swarmboot/fleet.pub", "ca=/etc/swarmboot/ca.pem", "floor=41", "clock=1790000000",
    ]  # fmt: skip


def test_a_private_key_never_goes_into_an_initramfs(tmp_path: Path, trust: Path, authority: Path) -> None:
    with pytest.raises(KeyFileError, match="holds a private key"):
        install.install_config(tmp_path / "root", Bake((trust,), authority.with_name("with-key.pem")))


@pytest.mark.parametrize(("name", "value"), [("colour", "red"), ("overlay", "half"), ("server", "ftp://x")])
def test_a_default_that_a_node_would_refuse_is_refused_now(
    tmp_path: Path, trust: Path, authority: Path, name: str, value: str
) -> None:
    with pytest.raises(MalformedSettingError, match=name):
        install.install_config(tmp_path / "root", Bake((trust,), authority, defaults={name: value}))


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, trust: Path, authority: Path) -> None:
    write_token(tmp_path / "token")
    (tmp_path / "token").chmod(0o644)
    for wrong in (
        Bake((trust,), authority, defaults={"colour": "red"}),
        Bake((trust,), trust),
        Bake((trust, tmp_path / "none.pub"), authority),
        Bake((trust,), authority, token=tmp_path / "token"),
    ):
        with pytest.raises(SwarmbootError):
            install.install_config(tmp_path / "root", wrong)
    with pytest.raises(ResourceError):
        install.install_code(tmp_path / "root", tmp_path / "runtime.squashfs")
    assert not (tmp_path / "root").exists()


def test_files_that_are_in_place_already_are_not_written_again(tmp_path: Path) -> None:
    install.install_initramfs_tools(tmp_path)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    install.install_initramfs_tools(tmp_path)
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_command_installs_under_its_root_and_nowhere_else(tmp_path: Path, trust: Path, authority: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib/swarmboot").mkdir(parents=True)
    for name in ("runtime.squashfs", "runtime.libraries"):
        (root / "usr/lib/swarmboot" / name).write_text("the root's own")
    arguments = ["install", "--initramfs-tools", "--root", str(root), "--trust", str(trust), "--ca", str(authority)]
    done = CliRunner().invoke(hook, arguments)
    assert done.exit_code == 0, done.output
    assert (root / "usr/lib/swarmboot/runtime.squashfs").read_text() == "the root's own"
    assert (root / "usr/lib/swarmboot/driver.sh").is_file()


def test_scripts_may_be_executed_and_units_may_not(tmp_path: Path) -> None:
    install.install_code_files(tmp_path)
    for path in (tmp_path / "usr/lib/swarmboot").iterdir():
        assert bool(path.stat().st_mode & 0o111) is path.read_bytes().startswith(b"#!"), path


def test_the_command_checks_every_default_before_it_builds_anything(
    tmp_path: Path, trust: Path, authority: Path
) -> None:
    arguments = ["install", "--dracut", "--root", str(tmp_path / "root"), "--trust", str(trust), "--ca", str(authority)]
    done = CliRunner().invoke(hook, [*arguments, "--default", "colour=red"])
    assert isinstance(done.exception, MalformedSettingError)
    assert not (tmp_path / "root").exists()


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match=r"install the packages squashfs-tools binutils .* iproute2"):
        check_programs()


def test_an_authority_that_is_none_is_refused(tmp_path: Path, trust: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be used"):
        install.install_config(tmp_path / "root", Bake((trust,), trust))


def test_a_missing_runtime_is_named_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="swarmboot hook build-runtime"):
        install.install_code(tmp_path / "root", tmp_path / "runtime.squashfs")


def test_each_generator_finds_its_adapter(tmp_path: Path) -> None:
    install.install_initramfs_tools(tmp_path)
    install.install_dracut(tmp_path)
    tools = tmp_path / "usr/share/initramfs-tools"
    for name in ("hooks/swarmboot", "scripts/swarmboot", "scripts/init-top/swarmboot"):
        assert (tools / name).stat().st_mode & stat.S_IXUSR, name
    assert (tools / "conf-hooks.d/swarmboot").is_file()
    assert (tmp_path / "usr/lib/dracut/modules.d/90swarmboot/module-setup.sh").is_file()
    assert 'add_dracutmodules+=" swarmboot "' in (tmp_path / "etc/dracut.conf.d/swarmboot.conf").read_text()


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [("x.cpython-314-x86_64-linux-gnu.so", True), ("x.cpython-315-x86_64-linux-gnu.so", False), ("x.abi3.so", True),
     ("x.py", True), ("libz.so.1", True), ("x.cpython-314t-x86_64-linux-gnu.so", False)],
)  # fmt: skip
def test_an_image_holds_no_modules_of_another_python(name: str, is_ours: bool) -> None:
    assert is_for(name, "cpython-314") == is_ours


@pytest.mark.parametrize(
    ("library", "is_borrowed"),
    [("libc.so.6", True), ("ld-linux-x86-64.so.2", True), ("libcrypto.so.3", True), ("libssl.so.3", False),
     ("libtorrent-rasterbar.so.2.0", False), ("libcrypt.so.1", False)],
)  # fmt: skip
def test_the_image_borrows_what_an_initramfs_has(library: str, is_borrowed: bool) -> None:
    assert read_recipe().is_borrowed(library) == is_borrowed


def test_a_fleet_token_is_baked_in_for_root_alone_and_goes_again(tmp_path: Path, trust: Path, authority: Path) -> None:
    write_token(tmp_path / "token")
    install.install_config(tmp_path / "root", Bake((trust,), authority, token=tmp_path / "token"))
    config = tmp_path / "root/etc/swarmboot"
    assert read_tokens(config / "fleet.token") == read_tokens(tmp_path / "token")
    assert stat.S_IMODE((config / "fleet.token").stat().st_mode) == 0o600
    assert "fleet_token=/etc/swarmboot/fleet.token" in (config / "defaults").read_text().splitlines()
    install.install_config(tmp_path / "root", Bake((trust,), authority))
    assert not (config / "fleet.token").exists()
    assert "fleet_token" not in (config / "defaults").read_text()


@pytest.mark.parametrize("name", ["fleet_token", "secrets"])
def test_where_token_and_secrets_are_is_no_default_to_choose(
    tmp_path: Path, trust: Path, authority: Path, name: str
) -> None:
    with pytest.raises(MalformedSettingError, match="cannot be baked in"):
        install.install_config(tmp_path / "root", Bake((trust,), authority, defaults={name: "/tmp/x"}))


@pytest.mark.parametrize("has_token", [True, False])
def test_mkinitramfs_is_told_to_keep_an_initramfs_with_a_token_to_root(tmp_path: Path, has_token: bool) -> None:
    (tmp_path / "fleet.token").touch() if has_token else None
    hook = hook_folder() / "initramfs-tools/conf-hooks.d/swarmboot"
    done = subprocess.run(
        ["sh", "-ec", f'. {hook}; echo "$BUSYBOX ${{UMASK:-none}}"'],
        env={"PATH": os.environ["PATH"], "SWARMBOOT_CONFIG": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["y", "0077" if has_token else "none"]


def test_a_runtime_without_zstd_is_built_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (note,) = notes_of_what_is_missing()
    assert "cannot unpack tar.zst" in note
    (tmp_path / "zstd").touch(0o755)
    assert notes_of_what_is_missing() == []
