"""The hook's shell driver, under each shell that an initramfs may bring, with a test's command line and folders."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from tests.support.shells import drive, plant


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
    call = f"swarmboot_leecher() {{ echo $2; return {leecher_status}; }}; swarmboot_fetch"
    status, said = drive(shell, tmp_path, call)
    assert (status, said) == (1, "fetch\nlog\n")
    assert f"<7>swarmboot: {line}" in (tmp_path / "kmsg").read_text()
    assert line in (tmp_path / "console").read_text()


def test_a_leecher_that_dies_is_started_again_three_times(shell: tuple[str, ...], tmp_path: Path) -> None:
    call = "sleep() { :; }; swarmboot_leecher() { echo run; return 139; }; swarmboot_fetch"
    status, said = drive(shell, tmp_path, call)
    assert (status, said) == (1, "run\nrun\nrun\n")


def test_no_name_server_is_asked_first_each_time_or_waited_for_long(shell: tuple[str, ...], tmp_path: Path) -> None:
    status, said = drive(shell, tmp_path, "swarmboot_name_servers")
    assert (status, said.splitlines()[-1]) == (0, "options rotate timeout:2 attempts:5")


_USELESS = "DEVICE='eth0'\nIPV4DNS0='10.66.0.9'\nIPV4DNS1='192.0.2.1'\nDOMAINSEARCH=''\n"
_USEFUL = "DEVICE='eth1'\nIPV4DNS0='10.99.0.1'\nIPV4DNS1='0.0.0.0'\nDOMAINSEARCH='rack'\n"


@pytest.mark.parametrize(
    ("files", "servers"),
    [
        ({"run/net-eth0.conf": _USELESS, "run/net-eth1.conf": _USEFUL}, "10.66.0.9 10.99.0.1 192.0.2.1"),
        (
            {
                "etc/resolv.conf": "domain x\nnameserver 10.66.0.9\nnameserver 192.0.2.1 # a comment\n",
                "run/net-eth0.conf": _USELESS,
                "run/net-eth1.conf": _USEFUL,
            },
            "10.66.0.9 10.99.0.1 192.0.2.1",
        ),
        (
            {"run/systemd/netif/links/2": "DNS=10.66.0.9 192.0.2.1 192.0.2.2\n", "run/systemd/netif/links/3":
                "DNS=10.99.0.1\n"},
            "10.66.0.9 10.99.0.1 192.0.2.1 192.0.2.2",
        ),
        ({"tmp/net.eth0.resolv.conf": "nameserver fd99::1\n", "etc/resolv.conf": "# none yet\n"}, "fd99::1"),
    ],
    ids=["ipconfig", "initramfs-tools of Debian 13", "networkd", "dracut's scripts"],
)  # fmt: skip
def test_every_cards_first_name_server_stands_once_among_the_three_that_are_asked(
    shell: tuple[str, ...], tmp_path: Path, files: dict[str, str], servers: str
) -> None:
    assert named(shell, tmp_path, files) == servers.split()


def test_of_more_name_servers_than_can_be_asked_each_has_its_turn(shell: tuple[str, ...], tmp_path: Path) -> None:
    cards = {f"run/systemd/netif/links/{card}": f"DNS=10.0.{card}.1\n" for card in range(1, 6)}
    asked = [named(shell, tmp_path, cards, turn=turn)[:3] for turn in range(6)]
    assert {server for each in asked for server in each} == {f"10.0.{card}.1" for card in range(1, 6)}
    assert asked[0] == asked[5] != asked[1]


def named(shell: tuple[str, ...], folder: Path, files: dict[str, str], *, turn: int = 0) -> list[str]:
    """Return the name servers of the resolv.conf that the driver makes of what cards were told."""
    for name, text in files.items():
        (folder / "told" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "told" / name).write_text(text)
    status, said = drive(shell, folder, f"swarmboot_prefix={folder}/told; swarmboot_name_servers {turn}")
    assert status == 0
    return [line.split()[1] for line in said.splitlines() if line.startswith("nameserver ")]


_LEASE = """
   Hardware Type: ETHER
  Client Address: 10.99.0.62

 1 subnet mask       255.255.255.0
12 hostname          node7
42 NTP server        10.99.0.2
                     10.99.0.3
"""


@pytest.mark.parametrize(
    ("files", "lease", "expected"),
    [
        ({"run/net-eth0.conf": "DEVICE='eth0'\nHOSTNAME='node5'\nDNSDOMAIN=''\n"}, "", "node5\n"),
        ({"run/systemd/netif/leases/2": "ADDRESS=10.99.0.62\nHOSTNAME=node6\n"}, "", "node6\n"),
        ({"run/systemd/netif/leases/2": "ADDRESS=10.99.0.62\n"}, "", ""),
        ({"run/net-eth0.conf": "HOSTNAME=''\n"}, _LEASE, "node7\n"),
        ({}, _LEASE, "node7\n"),
        ({}, "Interface 'eth0' does not have DHCPv4 lease.", ""),
        ({}, "", ""),
    ],
    ids=["ipconfig", "networkd 257", "without a name", "ip= without a name", "networkd 261", "no lease", "nothing"],
)
def test_the_networks_word_for_this_machine_is_found_wherever_it_is_kept(
    shell: tuple[str, ...], tmp_path: Path, files: dict[str, str], lease: str, expected: str
) -> None:
    for name, text in files.items():
        (tmp_path / "told" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "told" / name).write_text(text)
    (tmp_path / "lease").write_text(lease)
    call = f"""
        ip() {{ echo '2: eth0    inet 10.99.0.62/24 brd 10.99.0.255 scope global dynamic eth0'; }}
        networkctl() {{ for card; do :; done; [ "$card" = eth0 ] && cat {tmp_path}/lease; }}
        swarmboot_prefix={tmp_path}/told
        swarmboot_host_name || :
    """
    assert drive(shell, tmp_path, call) == (0, expected)


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


def test_a_failure_after_the_fetch_reaches_the_seeder(shell: tuple[str, ...], tmp_path: Path) -> None:
    """The image's python3 is an absolute link, which dangles outside of it."""
    plant(tmp_path, {}, {"runtime/usr/bin/python3": "/usr/local/nowhere/python3.11"})
    call = 'swarmboot_leecher() { echo "leecher $*"; }; swarmboot_fail the root is odd'
    assert drive(shell, tmp_path, call) == (1, "leecher leecher.initramfs report the root is odd\n")


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
    ("cmdline", "is_lazy"),
    [
        ("", False),
        ("swarmboot.lazy", True),
        ("swarmboot.lazy=on swarmboot.lazy=off", False),
        ("swarmboot.trace=on", True),
        ("swarmboot.trace=0", False),
    ],
)
def test_a_root_is_used_before_it_is_whole_only_where_that_is_asked_for(
    shell: tuple[str, ...], tmp_path: Path, cmdline: str, is_lazy: bool
) -> None:
    call = "swarmboot_fuse=/dev/null; modprobe() { :; }; swarmboot_is_lazy"
    assert drive(shell, tmp_path, call, cmdline=cmdline) == (0 if is_lazy else 1, "")


@pytest.mark.root
def test_a_machine_whose_fuse_cannot_be_opened_fetches_everything_first(shell: tuple[str, ...], tmp_path: Path) -> None:
    os.mknod(tmp_path / "fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 254))
    call = f"swarmboot_fuse={tmp_path}/fuse; modprobe() {{ :; }}; swarmboot_leecher() {{ echo $*; }}; swarmboot_fetch"
    assert drive(shell, tmp_path, call, cmdline="swarmboot.lazy") == (0, "leecher.initramfs fetch\n")
    assert "FUSE is not there: fetching all of it first" in (tmp_path / "console").read_text()


def test_after_a_server_of_reads_that_dies_everything_is_fetched_first(shell: tuple[str, ...], tmp_path: Path) -> None:
    call = """
        sleep() { :; }; swarmboot_is_lazy() { :; }; swarmboot_fetch_lazily() { echo lazily; return 137; }
        swarmboot_leecher() { echo $*; }; swarmboot_fetch
    """
    assert drive(shell, tmp_path, call) == (0, "lazily\nleecher.initramfs fetch\n")


def test_a_boot_without_devices_goes_on_when_the_leecher_has_ended(shell: tuple[str, ...], tmp_path: Path) -> None:
    """Its folders are taken away then."""
    (tmp_path / "handover").mkdir()
    call = f"""
        swarmboot_fuse=/dev/null; mount() {{ :; }}; umount() {{ :; }}
        swarmboot_leecher() {{ echo plan >{tmp_path}/handover/plan; sleep 0.5; echo ended; }}
        swarmboot_fetch_lazily
        status=$?
        cat {tmp_path}/console
        exit $status
    """
    assert drive(shell, tmp_path, call) == (0, "ended\n")


def test_an_image_that_is_not_whole_is_mounted_from_its_device_and_another_from_its_file(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "handover").mkdir()
    (tmp_path / "handover/devices").write_text("rootfs.squashfs /dev/loop7\n")
    call = 'mount() { echo "$*"; }; swarmboot_mount_image rootfs.squashfs /a; swarmboot_mount_image b.squashfs /b'
    status, said = drive(shell, tmp_path, call)
    assert status == 0
    assert said.splitlines() == [
        "-t squashfs -o ro /dev/loop7 /a",
        f"-t squashfs -o loop,ro {tmp_path}/images/b.squashfs /b",
    ]
