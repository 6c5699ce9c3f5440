"""The hook's shell driver, under each shell that an initramfs may bring, with a test's command line and folders."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.tree import DRIVER

SHELLS = [("dash",), ("busybox", "sh"), ("bash", "--posix")]


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    command: tuple[str, ...] = request.param
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    return command


def drive(shell: tuple[str, ...], folder: Path, call: str, *, cmdline: str = "") -> tuple[int, str]:
    (folder / "cmdline").write_text(cmdline + "\n")
    (folder / "console").touch()
    script = f"""
        swarmboot_cmdline={folder}/cmdline
        swarmboot_console={folder}/console
        swarmboot_files={DRIVER.parent}
        . {DRIVER}
        swarmboot_run={folder}
        {call}
    """
    done = subprocess.run((*shell, "-c", script), capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("cmdline", "is_enabled"),
    [
        ("quiet root=/dev/sda1", False),
        ("swarmboot.server=https://10.0.0.1:8470", True),
        ("swarmboot=1", True),
        ("boot=swarmboot", True),
        ("swarmboot.sever=https://10.0.0.1:8470", True),
        ("swarmboot.server=https://10.0.0.1:8470 swarmboot=0", False),
        ("swarmboot=0 swarmboot.server=https://10.0.0.1:8470", False),
        ("swarmboot=off swarmboot=1", False),
        ("notswarmboot.server=x", False),
        ("", False),
    ],
)
def test_one_argument_enables_and_zero_beats_everything(
    shell: tuple[str, ...], tmp_path: Path, cmdline: str, is_enabled: bool
) -> None:
    status, said = drive(shell, tmp_path, "swarmboot_is_enabled", cmdline=cmdline)
    assert (status == 0, said) == (is_enabled, "")


def test_the_last_value_of_an_argument_counts_and_stars_stay_stars(shell: tuple[str, ...], tmp_path: Path) -> None:
    cmdline = "swarmboot.memory=1G * swarmboot.memoryx=9 swarmboot.memory=* ?"
    assert drive(shell, tmp_path, 'cd / && swarmboot_argument "memory"', cmdline=cmdline) == (0, "*\n")


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ("2: ens3 inet 10.0.0.7/24 scope global ens3", "found"),
        ("2: ens3 inet6 fd99::7/64 scope global dynamic", "found after 5 s"),
        ("2: ens3 inet6 fd99::7/64 scope global tentative", "none"),
        ("", "none"),
    ],
)
def test_ipv6_alone_is_an_address_after_five_seconds(
    shell: tuple[str, ...], tmp_path: Path, addresses: str, expected: str
) -> None:
    call = f"""
        ip() {{ echo "{addresses}"; }}
        swarmboot_uptime() {{ echo "$now.50"; }}
        now=100; swarmboot_has_address && echo found && exit
        now=104; swarmboot_has_address && echo 'found after 4 s' && exit
        now=105; swarmboot_has_address && echo 'found after 5 s' && exit
        echo none
    """
    folder = tmp_path / "run"
    folder.mkdir()
    status, said = drive(shell, folder, f"swarmboot_ipv6_since={folder}/since; {call}")
    assert (status, said) == (0, f"{expected}\n")


def test_the_plan_is_read_by_name(shell: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "handover").mkdir()
    (tmp_path / "handover/plan").write_text("root squashfs rootfs.squashfs\noverlay 50%\nseed on\n")
    assert drive(shell, tmp_path, "swarmboot_planned overlay; swarmboot_planned seed") == (0, "50%\non\n")


@pytest.mark.parametrize(
    ("leecher_status", "line"),
    [
        (11, "stopped: what was offered is not to be trusted (status 11"),
        (24, "stopped: the network failed for longer than swarmboot.timeout (status 24"),
        (32, "stopped: the bytes are not the ones that were signed (status 32"),
        (41, "stopped: a kernel argument is wrong (status 41"),
        (61, "stopped: this machine lacks something (status 61"),
    ],
)
def test_a_refusal_stops_the_boot_at_once_and_says_so(
    shell: tuple[str, ...], tmp_path: Path, leecher_status: int, line: str
) -> None:
    call = f"swarmboot_leecher() {{ echo run; return {leecher_status}; }}; swarmboot_fetch"
    status, said = drive(shell, tmp_path, call)
    assert (status, said) == (1, "run\n")
    assert line in (tmp_path / "console").read_text()


def test_a_leecher_that_dies_is_started_again_three_times(shell: tuple[str, ...], tmp_path: Path) -> None:
    call = "sleep() { :; }; swarmboot_leecher() { echo run; return 139; }; swarmboot_fetch"
    status, said = drive(shell, tmp_path, call)
    assert (status, said) == (1, "run\nrun\nrun\n")


def test_no_name_server_is_asked_first_each_time_or_waited_for_long(shell: tuple[str, ...], tmp_path: Path) -> None:
    status, said = drive(shell, tmp_path, "swarmboot_name_servers")
    assert (status, said.splitlines()[-1]) == (0, "options rotate timeout:2 attempts:5")


def test_the_console_says_which_card_has_which_address(shell: tuple[str, ...], tmp_path: Path) -> None:
    call = """
        ip() {
            echo '2: eth0    inet 10.66.0.76/24 brd 10.66.0.255 scope global eth0'
            echo '3: eth1    inet6 fd99::5/64 scope global dynamic'
        }
        swarmboot_prepare() { return 1; }; swarmboot_fail() { return 1; }
        swarmboot_boot /root
    """
    drive(shell, tmp_path, call)
    assert re.search(
        r"an address after [0-9.]+ s: eth0 10.66.0.76/24 eth1 fd99::5/64$",
        (tmp_path / "console").read_text(),
        re.MULTILINE,
    )


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


def plant(root: Path, files: dict[str, str], links: dict[str, str]) -> Path:
    """Make a root of programs (with their mode, as in "755") and links."""
    for name, mode in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("#!/bin/sh\n")
        (root / name).chmod(int(mode, 8))
    for name, target in links.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    return root


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


def test_a_failure_after_the_fetch_reaches_the_seeder(shell: tuple[str, ...], tmp_path: Path) -> None:
    """The image's python3 is an absolute link, which dangles outside of it."""
    plant(tmp_path, {}, {"runtime/usr/bin/python3": "/usr/local/nowhere/python3.11"})
    call = 'swarmboot_leecher() { echo "leecher $*"; }; swarmboot_fail the root is odd'
    assert drive(shell, tmp_path, call) == (1, "leecher leecher.initramfs report the root is odd\n")


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
    for name in ("handover/secret.env", "handover/credentials", "etc/fleet.token", "etc/fleet.pub"):
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


def test_a_token_is_copied_for_root_alone(shell: tuple[str, ...], tmp_path: Path) -> None:
    config, files = tmp_path / "config", tmp_path / "files"
    config.mkdir()
    files.mkdir()
    (files / "runtime.libraries").write_text("")
    (files / "runtime.squashfs").write_text("x")
    (config / "fleet.token").write_text("x")
    (config / "fleet.token").chmod(0o600)
    run = tmp_path / "run"
    call = f"""
        swarmboot_config={config}; swarmboot_files={files}; swarmboot_run={run}
        mount() {{ :; }}; modprobe() {{ :; }}
        umask 022; swarmboot_prepare
    """
    status, said = drive(shell, tmp_path, call)
    assert status == 0, said
    assert (run / "etc/fleet.token").stat().st_mode & 0o777 == 0o600


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


_MOUNTING = """
    mount() {
        for last in "$@"; do :; done
        [ "$last" != "$fails" ] || return 1
        [ "$1" != --make-private ] || return 0
        echo "x $last y" >>"$swarmboot_mounts"
    }
    umount() {
        for last in "$@"; do :; done
        grep -v " $last " "$swarmboot_mounts" >"$swarmboot_mounts.new"
        mv "$swarmboot_mounts.new" "$swarmboot_mounts"
    }
    modprobe() { :; }
"""


@pytest.mark.parametrize("where", ["", "runtime", "runtime/sys"])
def test_a_retry_from_the_rescue_shell_mounts_nothing_twice(shell: tuple[str, ...], tmp_path: Path, where: str) -> None:
    """The first attempt ends where it may, or succeeds and leaves its binds to nobody."""
    config, files, run, mounts = (tmp_path / name for name in ("config", "files", "run", "mounts"))
    for folder in (config, files):
        folder.mkdir()
    (config / "fleet.pub").write_text("x")
    (files / "runtime.libraries").write_text("")
    (files / "runtime.squashfs").write_text("x")
    mounts.write_text("")
    call = f"""
        swarmboot_config={config}; swarmboot_files={files}; swarmboot_run={run}; swarmboot_mounts={mounts}
        {_MOUNTING}
        fails={run / where if where else "/nothing"}
        swarmboot_prepare >{tmp_path}/first; echo "first $?"
        fails=/nothing
        swarmboot_prepare; echo "second $?"
    """
    status, said = drive(shell, tmp_path, call)
    assert (status, f"first {1 if where else 0}" in said, "second 0" in said) == (0, True, True), said
    made = sorted(line.split()[1] for line in mounts.read_text().splitlines())
    binds = [f"{run}/runtime/{name}" for name in ("dev", "proc", "run/swarmboot", "sys")]
    if not where.startswith("runtime/"):
        assert made == sorted([str(run), f"{run}/runtime", *binds])
    assert len(made) == len(set(made)) == 6


def test_what_an_attempt_has_mounted_is_taken_apart_whatever_lies_on_it(shell: tuple[str, ...], tmp_path: Path) -> None:
    mounts, root = tmp_path / "mounts", tmp_path / "root"
    for folder in ("layers/0", "layers/1", "changes", "root"):
        (tmp_path / folder).mkdir(parents=True)
    places = (root, root, tmp_path / "layers/0", tmp_path / "changes")
    mounts.write_text("".join(f"x {place} y\n" for place in (*places, tmp_path)))
    call = f"swarmboot_mounts={mounts}; {_MOUNTING} swarmboot_take_apart {root}"
    assert drive(shell, tmp_path, call) == (0, "")
    assert mounts.read_text() == f"x {tmp_path} y\n"
    assert not list((tmp_path / "layers").iterdir())


def test_a_root_that_fails_its_check_is_not_left_for_a_root(shell: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("etc", "handover", "root"):
        (tmp_path / name).mkdir()
    (tmp_path / "mounts").write_text(f"x {tmp_path}/root y\n")
    call = f"""
        for name in prepare name_servers follow_name_servers fetch lay_down assemble leecher; do
            eval "swarmboot_$name() {{ :; }}"
        done
        {_MOUNTING}
        swarmboot_mounts={tmp_path}/mounts
        swarmboot_boot {tmp_path}/root
    """
    status, _ = drive(shell, tmp_path, call)
    assert (status, (tmp_path / "mounts").read_text()) == (1, "")


@pytest.mark.parametrize("told", [True, False], ids=["in the leecher's words", "without a word of it"])
def test_why_an_image_cannot_be_unpacked_reaches_the_seeder(shell: tuple[str, ...], tmp_path: Path, told: bool) -> None:
    (tmp_path / "handover").mkdir()
    (tmp_path / "handover/failure").write_text("of the time before\n")
    (tmp_path / "runtime/mnt").mkdir(parents=True)
    plant(tmp_path, {"runtime/usr/bin/python3": "755"}, {})
    reason = "10.tar.gz brings 'var' as a link, \\n which cannot be made"
    tell = f"printf '%s\\n' \"{reason}\" >{tmp_path}/handover/failure" if told else ":"
    call = f"""
        mount() {{ :; }}; umount() {{ :; }}
        swarmboot_leecher() {{
            case $1 in leecher.initramfs.root) {tell}; return 50 ;; esac
            printf '%s\\n' "$*"
        }}
        swarmboot_unpack plugins /root || swarmboot_fail_as_told 'a plugin cannot be unpacked'
    """
    said = reason if told else "a plugin cannot be unpacked (status 50)"
    assert drive(shell, tmp_path, call) == (1, f"leecher.initramfs report {said}\n")
    assert ("a plugin cannot" in (tmp_path / "console").read_text()) is not told


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
