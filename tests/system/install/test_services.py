"""The services run under a real systemd with no more rights than their units leave them, and do their work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from seeder.hook import install
from seeder.hook.install import Bake
from seeder.http.authority import issue_certificate
from seeder.serve.unit_cli import plan_unit
from seeder.stage0.dhcp.dnsmasq_process import CAPABILITIES
from seeder.systemd.unit import NAME, SOCKET, socket_text, unit_text
from swarmboot.crypto.fleet_token import write_token
from tests.support.loopback import Fleet, build_fleet, build_release
from tests.support.tree import HOOK
from tests.support.waiting import wait_until
from tests.system.bare.rack import ADDRESS, PXE, BareRack, other_network
from tests.system.install.systemd import Container, systemd_running
from tests.system.vm import images
from tests.system.vm.programs import run

pytestmark = [pytest.mark.root, pytest.mark.needs("/usr/lib/systemd/systemd", "ip")]

STATE = ("/var/lib/swarmboot",)
UNIT = f"etc/systemd/system/{NAME}"
SEED = "swarmboot-seed.service"
_BOOT_A_NODE = """
swarmboot_files=$1/usr/lib/swarmboot swarmboot_config=$1/etc/swarmboot swarmboot_console=/dev/stderr
swarmboot_kmsg=/dev/null
# A container has no loop devices: the leecher's image is unpacked where it would be mounted.
mount() {
    case $* in
        *squashfs*) unsquashfs -q -n -f -d "$swarmboot_run/runtime" "$swarmboot_run/runtime.squashfs" ;;
        *) command mount "$@" ;;
    esac
}
. "$1/usr/lib/swarmboot/driver.sh"
swarmboot_prepare && swarmboot_leecher leecher.initramfs fetch
"""
BRISK = {f"{UNIT}.d/brisk.conf": "[Service]\nWatchdogSec=4s\nRestartSec=100ms\n"}
NEIGHBOUR = {
    f"etc/systemd/system/swarmboot-seed.{kind}": (HOOK / f"seed.{kind}").read_text() for kind in ("service", "socket")
}
"""In a container there is no kernel's log for the socket to open: the service does without."""

METRICS = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9470/metrics').read().decode())"
_CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_AS_ON_ETHERNET = (
    "link add rack type bridge forward_delay 0",
    f"address add {ADDRESS}/24 dev rack",
    "link set rack up",
)


@dataclass(frozen=True, slots=True)
class Service:
    """A seeder that systemd has started, and what it serves."""

    container: Container
    fleet: Fleet
    release: Path

    def rights(self, unit: str = NAME) -> tuple[bool, set[int]]:
        """Return whether it runs as root, and what its five sets of capabilities hold; check that it gets no more."""
        status = self.container.status(unit)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        return "0" in status["Uid"].split(), {int(status[name], 16) for name in _CAPABILITY_SETS}

    def check_boot(self, name: str, *more: str, authority: str, address: str = "127.0.0.1") -> None:
        """Run a leecher beside it to its end and check what it has got."""
        into = self.fleet.folder / name
        self.container.run(
            sys.executable, "-m", "leecher", "--server", f"https://{address}:8470", "--ca", authority,
            "--trust", str(self.fleet.pub), "--into", str(into), "--discovery", "off", *more,
        )  # fmt: skip
        assert (into / "rootfs.squashfs").read_bytes() == (self.release / "rootfs.squashfs").read_bytes()


def start(stack: ExitStack, work: Path, *options: str, network: tuple[str, ...] = ()) -> Service:
    """Start the unit for a site that stands where the service's own /tmp would hide it."""
    release = build_release(work / "release")
    fleet = build_fleet(work / "fleet", release)
    plan = plan_unit((str(fleet.site), "--uplink", "1gbit", *options))
    container = stack.enter_context(systemd_running(work, {UNIT: unit_text(plan), **BRISK, **NEIGHBOUR}))
    for arguments in network:
        container.run("ip", *arguments.split())
    container.start(NAME)
    return Service(container, fleet, release)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with ExitStack() as stack:
        yield start(stack, tmp_path_factory.mktemp("plain"))


def test_the_seeder_runs_without_root_and_without_any_capability(plain: Service) -> None:
    assert plain.rights() == (False, {0})


def test_a_node_boots_from_the_service(plain: Service) -> None:
    plain.check_boot("node", authority="/var/lib/swarmboot/ca.pem")


def test_the_service_can_write_nowhere_but_in_its_state(plain: Service) -> None:
    container, pid = plain.container, plain.container.shown(NAME, "MainPID")
    user = container.status(NAME)["Uid"].split()[0]
    folders = ("/", "/etc", "/run", "/usr", "/var", "/var/lib", str(plain.fleet.site), sys.prefix)
    said = container.run(
        "nsenter", "--target", pid, "--mount", "--", "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups",
        "sh", "-c", 'for folder; do [ ! -w "$folder" ] || echo "$folder"; done', "sh", *folders, *STATE,
    )  # fmt: skip
    assert said.split() == [*STATE]
    assert container.run("stat", "--format=%a", "/var/lib/private/swarmboot/ca.key").strip() == "600"


def test_a_service_that_hangs_is_started_again_with_the_same_authority(plain: Service) -> None:
    container, authority = plain.container, "/var/lib/swarmboot/ca.pem"
    before, pid = container.run("cat", authority), container.shown(NAME, "MainPID")
    container.run("kill", "-STOP", pid)
    wait_until(
        "another process of the seeder's", lambda: container.shown(NAME, "MainPID") not in (pid, "0"), every_s=0.1
    )
    wait_until("an active seeder", lambda: container.shown(NAME, "ActiveState") == "active", every_s=0.1)
    assert container.run("cat", authority) == before
    plain.check_boot("later", authority=authority)


def test_what_init_makes_is_started_as_it_is_and_keeps_its_authority(tmp_path: Path) -> None:
    release = build_release(tmp_path / "release")
    fleet = build_fleet(tmp_path / "fleet", release)
    with systemd_running(tmp_path, BRISK) as container:
        container.run("rm", "-rf", "/var/lib/swarmboot", "/etc/swarmboot")  # this machine may be a server itself
        said = container.run(sys.executable, "-m", "swarmboot", "init", "--pxe=", "--folder", str(fleet.folder))
        assert said.splitlines()[-1].strip() == "systemctl daemon-reload && systemctl enable --now swarmboot"
        authority = container.run("cat", "/var/lib/swarmboot/ca.pem")
        container.run("systemctl", "daemon-reload")
        container.start(NAME)
        service = Service(container, fleet, release)
        assert service.rights() == (False, {0})
        assert container.run("cat", "/var/lib/swarmboot/ca.pem") == authority
        service.check_boot("node", authority="/var/lib/swarmboot/ca.pem")


@pytest.mark.needs("curl")
def test_systemd_holds_the_port_before_and_while_the_service_starts_anew(tmp_path: Path) -> None:
    """Nobody is refused: who connects is answered when it is up."""
    release = build_release(tmp_path / "release")
    fleet = build_fleet(tmp_path / "fleet", release)
    plan = plan_unit((str(fleet.site), "--uplink", "1gbit", "--listen", "127.0.0.1:8470"))
    slow = {f"{UNIT}.d/slow.conf": "[Service]\nRestartSec=2s\n"}
    files = {UNIT: unit_text(plan), f"etc/systemd/system/{SOCKET}": socket_text(plan), **slow}
    with systemd_running(tmp_path, files) as container:
        container.start(SOCKET)
        assert container.shown(NAME, "ActiveState") == "inactive"
        service = Service(container, fleet, release)
        asked = ("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "https://127.0.0.1:8470/no")
        assert container.run(*asked) == "404"
        assert container.shown(NAME, "ActiveState") == "active"
        assert service.rights() == (False, {0})
        container.run("systemctl", "kill", "--signal=KILL", NAME)
        wait_until("a dead seeder", lambda: container.shown(NAME, "MainPID") == "0", every_s=0.05)
        assert container.run(*asked) == "404"
        service.check_boot("node", authority="/var/lib/swarmboot/ca.pem")


@pytest.mark.needs("mksquashfs", "busybox", "/usr/share/doc/python3-libtorrent")
def test_a_nodes_neighbour_seeds_without_any_right_or_writable_code(plain: Service) -> None:
    container, folder = plain.container, plain.fleet.folder / "hook"
    authority = plain.fleet.folder / "ca.pem"
    authority.write_text(container.run("cat", "/var/lib/swarmboot/ca.pem"))
    install.install_code(folder, images.runtime_image())
    defaults = {"server": "https://127.0.0.1:8470", "discovery": "off", "metrics_port": "9470"}
    install.install_config(folder, Bake((plain.fleet.pub,), authority, defaults=defaults))
    before = told(container, "images verified")
    container.run("sh", "-euc", _BOOT_A_NODE, "sh", str(folder))
    container.start(SEED)
    wait_until("a neighbour that seeds", lambda: "complete; seeding" in container.journal(SEED), every_s=0.1)
    assert plain.rights(SEED) == (False, {0})
    assert "swarmboot_complete 1" in container.run(sys.executable, "-c", METRICS)
    maps = container.run("cat", f"/proc/{container.shown(SEED, 'MainPID')}/maps").splitlines()
    assert not [line for line in maps if {"w", "x"} <= set(line.split()[1])]
    wait_until("one word of a boot", lambda: told(container, "booted") == 1, every_s=0.1)
    assert told(container, "images verified") == before + 1
    container.run("systemctl", "restart", SEED)
    wait_until(
        "a second start of the neighbour", lambda: container.journal(SEED).count("complete; seeding") == 2, every_s=0.1
    )
    assert told(container, "booted") == 1


def told(container: Container, what: str) -> int:
    """Return how often the seeder was told this of a boot of this machine, whose boot id its containers share."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return sum(f"boot {boot}) {what} " in line for line in container.journal(NAME).splitlines())


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, BareRack]]:
    """Answer DHCP on a network of its own, with a certificate whose key only root can read."""
    work = tmp_path_factory.mktemp("bare")
    given = issue_certificate(work / "given", [ADDRESS])
    (work / "ipxe").mkdir()
    (work / "ipxe" / "undionly.kpxe").write_bytes(b"iPXE" * 1000)
    token = work / "fleet.token"
    write_token(token)
    options = (
        *PXE,
        "--fleet-token",
        str(token),
        "--ipxe",
        str(work / "ipxe"),
        "--tls-cert",
        str(given.certificate),
        "--tls-key",
        str(given.key),
    )
    with ExitStack() as stack:
        service = start(stack, work, *options, network=_AS_ON_ETHERNET)
        yield service, BareRack(service.container.pid, work, stack)


@pytest.mark.needs("dnsmasq", "busybox", "curl")
def test_a_seeder_that_answers_dhcp_keeps_three_capabilities(bare: tuple[Service, BareRack]) -> None:
    wanted = sum(1 << number for number in CAPABILITIES.values())
    is_root, found = bare[0].rights()
    assert not is_root
    assert found <= {0, wanted}


@pytest.mark.needs("dnsmasq", "busybox", "curl", "rdisc6")
def test_bare_machines_get_an_address_and_stage_0_from_the_service(bare: tuple[Service, BareRack]) -> None:
    """An address by unicast, which is what dnsmasq needs to write into the ARP table for."""
    service, rack = bare
    with other_network(rack) as inside:
        run(*inside, "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true", "-t", "8")
        tftp = run(*inside, "curl", "--silent", f"tftp://{ADDRESS}/undionly.kpxe")
        script = run(*inside, "curl", "--silent", f"http://{ADDRESS}/boot.ipxe?mac=52:54:00:00:98:77")
        asked = "for try in 1 2 3 4 5; do rdisc6 -1 -w 2000 eth0 && exit; sleep 1; done"  # its own address comes late
        advertised = run(*inside, "sh", "-c", asked)
    journal = service.container.journal(NAME)
    assert tftp == "iPXE" * 1000
    assert script.startswith("#!ipxe")
    assert "Router lifetime" in advertised
    warnings = [line for line in journal.splitlines() if "warning" in line]
    assert all("tls-cert ends on" in line for line in warnings), warnings
    assert "failed" not in journal
    service.check_boot("node", authority=str(service.fleet.folder.parent / "given/ca.pem"), address=ADDRESS)
