"""What the hook's driver makes of a root: its init, its layers, its secrets, and who goes on seeding in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.shells import drive, plant
from tests.support.tree import DRIVER


def test_a_root_with_systemd_gets_a_unit_and_another_an_init_script(shell: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "handover").mkdir()
    (tmp_path / "handover/plan").write_text("seed on\n")
    root = tmp_path / "root"
    for folder in ("etc/init.d", "etc/rc2.d", "etc/rc3.d"):
        (root / folder).mkdir(parents=True)
    call = f"swarmboot_keep_seeding {root}"
    assert drive(shell, tmp_path, call) == (0, "")
    assert (root / "etc/rc2.d/S99swarmboot-seed").resolve() == root / "etc/init.d/swarmboot-seed"
    assert (root / "etc/init.d/swarmboot-seed").read_text() == (DRIVER.parent / "seed.init").read_text()


def test_startpar_is_told_of_the_init_script_once(shell: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "handover").mkdir()
    (tmp_path / "handover/plan").write_text("seed on\n")
    (tmp_path / "root/etc/init.d").mkdir(parents=True)
    depend = tmp_path / "root/etc/init.d/.depend.start"
    depend.write_text("TARGETS = rsyslog cron rmnologin\nINTERACTIVE = \ncron: rsyslog\n")
    call = f"swarmboot_keep_seeding {tmp_path}/root"
    for _ in range(2):
        assert drive(shell, tmp_path, call) == (0, "")
        assert depend.read_text() == "TARGETS = rsyslog cron rmnologin swarmboot-seed\nINTERACTIVE = \ncron: rsyslog\n"


def test_no_seeding_leaves_nothing_behind(shell: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "handover").mkdir()
    (tmp_path / "handover/plan").write_text("seed off\n")
    (tmp_path / "root/etc/init.d").mkdir(parents=True)
    assert drive(shell, tmp_path, f"swarmboot_keep_seeding {tmp_path}/root") == (0, "")
    assert list((tmp_path / "root/etc/init.d").iterdir()) == []


@pytest.mark.parametrize(
    ("files", "links", "cmdline", "is_there"),
    [
        ({"sbin/init": "755"}, {}, "", True),
        ({"usr/lib/systemd/systemd": "755"}, {"sbin": "usr/sbin", "usr/sbin/init": "/lib/systemd/systemd",
                                              "lib": "/usr/lib"}, "", True),
        ({"usr/lib/systemd/systemd": "755"}, {"usr/sbin/init": "../lib/systemd/systemd", "sbin": "usr/sbin"}, "", True),
        ({"sbin/init": "644"}, {}, "", False),
        ({"LiveOS/rootfs.img": "644"}, {}, "", False),
        ({}, {"sbin/init": "/nowhere"}, "", False),
        ({}, {"sbin": "sbin"}, "", False),
        ({"sbin/init": "755"}, {}, "init=/opt/init", False),
        ({"opt/init": "755"}, {}, "quiet init=/opt/init", True),
    ],
)  # fmt: skip
def test_a_root_without_an_init_is_found_out_before_the_switch(
    shell: tuple[str, ...],
    tmp_path: Path,
    files: dict[str, str],
    links: dict[str, str],
    cmdline: str,
    is_there: bool,
) -> None:
    root = plant(tmp_path / "root", files, links)
    status, said = drive(shell, tmp_path, f"swarmboot_check_init {root}", cmdline=cmdline)
    assert (status, said) == (0 if is_there else 1, "")
    assert ("the root has no init" in (tmp_path / "console").read_text()) is not is_there


def test_a_plugin_does_not_hide_what_a_link_of_the_root_leads_to(shell: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "handover").mkdir()
    plan = "root squashfs r\nplugin tar.gz 10.tar.gz\nplugin squashfs 20-ok.squashfs\nplugin squashfs 30-nic.squashfs\n"
    (tmp_path / "handover/plan").write_text(plan)
    plant(tmp_path / "layers/0", {"usr/lib/ld.so": "755"}, {"lib": "usr/lib", "bin": "usr/bin"})
    plant(tmp_path / "layers/1", {"usr/lib/x.so": "644"}, {"bin": "usr/bin"})
    plant(tmp_path / "layers/2", {"etc/nic": "644"}, {})
    assert drive(shell, tmp_path, "swarmboot_check_merged") == (0, "")
    plant(tmp_path / "layers/2", {"lib/modules/nic.ko": "644"}, {})
    assert drive(shell, tmp_path, "swarmboot_check_merged") == (1, "")
    assert (
        "30-nic.squashfs brings /lib as a folder, where the root has a link to usr/lib"
        in (tmp_path / "console").read_text()
    )


@pytest.mark.parametrize("has_secrets", [True, False])
def test_secrets_are_left_to_the_leecher_in_the_new_root(
    shell: tuple[str, ...], tmp_path: Path, has_secrets: bool
) -> None:
    for name in ("handover", "layers", "images", "root/etc", "changes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "handover/plan").write_text("root squashfs rootfs.squashfs\noverlay 50%\nseed off\nsearch off\n")
    (tmp_path / "handover/environment").write_text("A=b\n")
    (tmp_path / "handover/secret.env").write_text("P=q\n" if has_secrets else "")
    call = f"""
        mount() {{ :; }}; umount() {{ :; }}; swarmboot_stack() {{ :; }}
        swarmboot_leecher() {{ echo "$*"; }}
        swarmboot_assemble {tmp_path}/root
    """
    (tmp_path / "runtime/mnt").mkdir(parents=True)
    status, said = drive(shell, tmp_path, call)
    assert (status, said) == (0, "leecher.initramfs.root plugins /mnt\n" if has_secrets else "")
    assert (tmp_path / "root/etc/environment").exists() is not has_secrets


def test_the_booted_system_is_left_neither_token_nor_secrets(shell: tuple[str, ...], tmp_path: Path) -> None:
    own = ("handover/own-files", "handover/own-secrets")
    for name in ("handover/secret.env", "handover/credentials", "etc/fleet.token", "etc/fleet.pub", *own):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n")
    call = """
        for name in prepare name_servers follow_name_servers fetch lay_down assemble check_init keep_seeding; do
            eval "swarmboot_$name() { :; }"
        done
        umount() { :; }; kill() { :; }
        swarmboot_boot /root
    """
    status, _ = drive(shell, tmp_path, call)
    assert status == 0
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*"))
    assert left == ["etc/fleet.pub", "etc/resolv.conf", "handover/credentials", "handover/hostname"]


def test_a_nodes_own_files_are_laid_down_with_their_modes(shell: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "handover").mkdir()
    (tmp_path / "handover/node-files").write_text("etc/a b\nrun/keys/host\n")
    for name, mode in (("etc/a b", 0o644), ("run/keys/host", 0o600)):
        path = tmp_path / "node-files.new" / name
        path.parent.mkdir(parents=True)
        path.write_text(name)
        path.chmod(mode)
    status, said = drive(shell, tmp_path, f"swarmboot_lay_down {tmp_path}/root")
    assert (status, said) == (0, "")
    assert (tmp_path / "root/etc/a b").read_text() == "etc/a b"
    assert (tmp_path / "root/run/keys/host").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "node-files.new").exists()


def test_the_init_script_gives_the_neighbour_its_credentials_on_standard_input(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    script = (DRIVER.parent / "seed.init").read_text().replace("/run/swarmboot", f"{tmp_path}/run")
    (tmp_path / "bin").mkdir()
    (tmp_path / "run/handover").mkdir(parents=True)
    (tmp_path / "run/handover/plan").touch()
    (tmp_path / "run/handover/credentials").write_text("one key\n")
    for name, text in (("nice", f"cat >{tmp_path}/given"), ("mount", ""), ("mountpoint", "")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    command = (*shell, "-c", f"{script}\nwait", "seed", "start")
    subprocess.run(command, env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}, check=True, timeout=20)
    assert (tmp_path / "given").read_text() == "one key\n"


@pytest.mark.parametrize(
    ("brought", "tars", "is_needed"),
    [
        ([], "no", False),
        (["layers/0/etc/ld.so.cache", "layers/0/etc/ld.so.conf.d/libc.conf"], "no", False),
        (["layers/1/etc/ld.so.cache"], "no", False),
        (["layers/1/etc/ld.so.cache", "layers/1/etc/ld.so.conf.d/a.conf"], "no", False),
        (["layers/1/etc/ld.so.conf.d/a.conf"], "no", True),
        (["layers/1/etc/ld.so.cache", "layers/12/etc/ld.so.cache"], "no", True),
        (["layers/1/etc/ld.so.cache", "layers/2/etc/ld.so.conf.d/a.conf"], "no", True),
        (["layers/1/etc/ld.so.cache", "changes/upper/etc/ld.so.cache"], "one", True),
        (["changes/upper/etc/ld.so.cache"], "one", False),
        (["changes/upper/etc/ld.so.cache"], "several", True),
        (["changes/upper/etc/environment"], "several", False),
    ],
)
def test_the_library_cache_is_made_anew_where_plugins_would_hide_each_others(
    shell: tuple[str, ...], tmp_path: Path, brought: list[str], tars: str, is_needed: bool
) -> None:
    plant(tmp_path, dict.fromkeys(brought, "644"), {})
    status, said = drive(shell, tmp_path, f"swarmboot_tars={tars}; swarmboot_hides_libraries")
    assert (status == 0, said) == (is_needed, "")
