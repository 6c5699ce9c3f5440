"""Run dnsmasq for bare machines: lay out what it serves over TFTP, start it as a child, watch it, end it.

dnsmasq answers on the one interface that was named and on no other. It ends when the seeder does, however that ends.
For a service systemd sees to that (systemd.kill(5)). Elsewhere, where setpriv(1) is there, the kernel sends it SIGTERM
(prctl(2), PR_SET_PDEATHSIG). That does not survive a change of user or group, so dnsmasq then stays whoever started it,
root mostly; and it is sent when the thread ends that started the child, so that must be the main one. What dnsmasq is
told is written by `seeder.stage0.dhcp.dnsmasq`.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from seeder.http.authority import local_addresses
from seeder.log import Log
from seeder.stage0.dhcp.configuration_test import SEARCH_PATH, try_configuration
from seeder.stage0.dhcp.dhcp_options import DhcpOption
from seeder.stage0.dhcp.dhcp_watch import DhcpWatch
from seeder.stage0.dhcp.dnsmasq import BootFiles, DhcpPlan, DhcpRange, dnsmasq_config, parse_dhcp_range, parse_pxe
from seeder.stage0.dhcp.networks import connected_networks, own_addresses
from seeder.stage0.dhcp.pool import PoolWatch, given, turned_away
from seeder.stage0.dhcp.range_survey import strangers_in_range
from seeder.stage0.dhcp.router_solicitations import answer_solicitations
from seeder.stage0.watcher import Watcher
from swarmboot.errors import (
    MalformedSettingError,
    PortInUseError,
    PrivilegeError,
    ResourceError,
    SwarmbootError,
    ToolMissingError,
)

IPXE_FOLDER = Path("/usr/lib/ipxe")
CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
"""What dnsmasq needs (capabilities(7)): ports below 1024, entries in the ARP table, pings."""
_BINARIES = {
    "bios": ("undionly.kpxe", "ipxe.pxe"),
    "efi64": ("snponly-x86_64.efi", "snponly.efi", "ipxe-x86_64.efi", "ipxe.efi"),
    "arm64": ("snponly-arm64.efi", "ipxe-arm64.efi"),
}
_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B
_END_BOUND_S = 5
_LAST_LINES = 5
_NAMED_MAX = 3
_STAY_ROOT = ("--user=root", "--group=root")


@dataclass(frozen=True, slots=True, kw_only=True)
class PxeOptions:
    """What `--pxe` and its companions say; `folder` is where dnsmasq's files go."""

    pxe: str
    dhcp_range: str
    ipxe: Path
    folder: Path
    http_port: int
    options: tuple[DhcpOption, ...] = ()
    more_file: Path | None = None
    u_boot_file: str = ""


def find_boot_files(folder: Path) -> BootFiles:
    """Return which of iPXE's binaries a folder holds, the small ones first; raise ToolMissingError if it has none."""
    found = {kind: next((name for name in names if (folder / name).is_file()), "") for kind, names in _BINARIES.items()}
    if not any(found.values()):
        raise ToolMissingError(
            f"{folder} holds no iPXE",
            expected="undionly.kpxe or snponly.efi",
            hint="apt install ipxe, or give another folder with --ipxe",
        )
    return BootFiles(**found)


def interface_address(interface: str) -> ipaddress.IPv4Interface:
    """Return an interface's IPv4 address and network (netdevice(7)); raise MalformedSettingError if it has none."""
    name = struct.pack("256s", interface.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            address, mask = (
                socket.inet_ntoa(fcntl.ioctl(probe, request, name)[20:24])
                for request in (_SIOCGIFADDR, _SIOCGIFNETMASK)
            )
        except OSError as error:
            raise MalformedSettingError(
                f"--pxe {interface} cannot be used: {error.strerror}",
                expected="an interface with an IPv4 address",
                found=f"interfaces {', '.join(name for _, name in socket.if_nameindex())}",
                hint="name the interface that the machines are on",
            ) from error
    return ipaddress.IPv4Interface(f"{address}/{mask}")


def plan_dhcp(options: PxeOptions) -> DhcpPlan:
    """Return what dnsmasq is to do; raise SettingsError or ToolMissingError if it cannot be done."""
    interface, is_proxy = parse_pxe(options.pxe)
    address = interface_address(interface)
    if is_proxy and (options.options or options.more_file):
        raise MalformedSettingError(
            "--dhcp-option and --dhcp-conf are for a DHCP server", expected="--dhcp-range",
            found=f"--pxe {interface},proxy", hint="say it in the configuration of the server that is there",
        )  # fmt: skip
    if is_proxy == bool(options.dhcp_range):
        raise MalformedSettingError(
            "--dhcp-range and proxy exclude each other" if is_proxy else "--pxe needs the addresses to give out",
            expected=f"--pxe {interface} --dhcp-range FIRST,LAST, or --pxe {interface},proxy beside a DHCP server",
        )
    given = None
    if not is_proxy:
        given, address = range_on(interface, options.dhcp_range)
    port = "" if options.http_port == 80 else f":{options.http_port}"
    folder = Path(os.path.abspath(options.folder))  # noqa: PTH100 - dnsmasq works in /; a link stays as it was named
    return DhcpPlan(
        interface=interface,
        address=address,
        origin=f"http://{address.ip}{port}",
        files=find_boot_files(options.ipxe),
        tftp_root=str(folder / "tftp"),
        lease_file=str(folder / "dhcp.leases"),
        addresses=given,
        options=options.options,
        u_boot_file=options.u_boot_file,
        more_file=os.path.abspath(options.more_file) if options.more_file else "",  # noqa: PTH100 - as the folder
    )


def range_on(interface: str, text: str) -> tuple[DhcpRange, ipaddress.IPv4Interface]:
    """Return a range and the address of an interface in whose network it is; raise MalformedSettingError without."""
    places = [interface_address(interface), *_more_addresses(interface)]
    given = parse_dhcp_range(text, *dict.fromkeys(each.network for each in places))
    return given, next(each for each in places if given.first in each.network and given.last in each.network)


def _more_addresses(interface: str) -> list[ipaddress.IPv4Interface]:
    """Return the addresses that an interface has beside its first."""
    routes = Path("/proc/self/net/route")
    networks = connected_networks(routes.read_text(), interface) if routes.exists() else []
    return own_addresses(networks, local_addresses())


@dataclass(frozen=True, slots=True)
class Dnsmasq:
    """What dnsmasq is started with, and what there is to say of it at the start, if anything.

    `is_proxy` says that the network has another DHCP server, and is somebody else's to say things in.
    """

    configuration: Path
    interface: str
    tftp_root: Path
    note: str = ""
    is_proxy: bool = False


def prepare(plan: DhcpPlan, options: PxeOptions) -> Dnsmasq:
    """Write dnsmasq's configuration and lay out its TFTP root; return what it is started with.

    Raises PrivilegeError, ToolMissingError, and ResourceError if dnsmasq does not accept its configuration.
    """
    if lacking := lacking_capabilities(Path("/proc/self/status").read_text()):
        raise PrivilegeError(
            "answering DHCP needs root or capabilities",
            expected=", ".join(CAPABILITIES),
            found=f"no {', '.join(lacking)}",
            hint="run `sudo swarmboot serve`, let `swarmboot unit install` run it, or use your own DHCP server",
        )
    if shutil.which("dnsmasq", path=SEARCH_PATH) is None:
        raise ToolMissingError("dnsmasq is not installed", hint="apt install dnsmasq-base")
    _check_ports(plan)
    root = options.folder / "tftp"
    root.mkdir(parents=True, exist_ok=True)
    for name in filter(None, (plan.files.bios, plan.files.efi64, plan.files.arm64)):
        shutil.copyfile(options.ipxe / name, root / name)
        (root / name).chmod(0o644)
    path = options.folder / "dnsmasq.conf"
    strangers = strangers_in_range(plan)
    text = dnsmasq_config(replace(plan, is_range_ours=strangers == ()))
    path.write_text(f"{text}log-dhcp\n")  # for `DhcpWatch`
    try_configuration(path, plan)
    return Dnsmasq(path, plan.interface, root, _strangers_note(strangers or ()), plan.is_proxy)


def _strangers_note(strangers: tuple[ipaddress.IPv4Address, ...]) -> str:
    """Return what to say of those who stand in the range without a lease."""
    if not strangers:
        return ""
    named = ", ".join(map(str, strangers[:_NAMED_MAX])) + (", ..." if len(strangers) > _NAMED_MAX else "")
    return (
        f"note: in --dhcp-range somebody has {named} without a lease of this server; each address is pinged before it "
        "is first given out, which holds machines up for 3 s each: give a range of machines without fixed addresses"
    )


def lacking_capabilities(status: str) -> tuple[str, ...]:
    """Return which of CAPABILITIES a process does not have, from its /proc/PID/status (proc(5))."""
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    held = int(effective[1], 16) if effective else 0
    return tuple(name for name, number in CAPABILITIES.items() if not held >> number & 1)


def _check_ports(plan: DhcpPlan) -> None:
    """Raise PortInUseError if somebody else answers DHCP or TFTP there: two instances of dnsmasq would both start."""
    for port, host, what in ((67, "", "DHCP"), (69, str(plan.address.ip), "TFTP")):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, plan.interface.encode())
            try:
                trial.bind((host, port))
            except OSError as error:
                raise _taken(plan.interface, what, error.strerror or "") from error


def _taken(interface: str, what: str, found: str) -> PortInUseError:
    return PortInUseError(
        f"cannot answer {what} on {interface}",
        expected="nobody else on UDP ports 67 and 69 of this interface",
        found=found,
        hint=f"stop the other server on this machine, or run elsewhere with --pxe {interface},proxy",
    )


@asynccontextmanager
async def dnsmasq_running(dnsmasq: Dnsmasq, log: Log, watcher: Watcher) -> AsyncIterator[None]:
    """Have dnsmasq run while the context is open; its end before that is an error. `watcher` is told whom it answers.

    Raises PortInUseError if another DHCP server has the interface, ResourceError if dnsmasq ends for another reason.
    """
    process = _start(dnsmasq.configuration)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, process, dnsmasq.interface, log, watcher)
            if not dnsmasq.is_proxy:
                nursery.start_soon(answer_solicitations, dnsmasq.interface)
            yield
            nursery.cancel_scope.cancel()
    finally:
        _stop(process)


def _start(path: Path) -> subprocess.Popen[bytes]:
    """Return dnsmasq, started from this thread: trio would start it from one that may end before us."""
    command = ["dnsmasq", "--keep-in-foreground", f"--conf-file={path}"]
    if shutil.which("setpriv") and "INVOCATION_ID" not in os.environ:
        command = ["setpriv", "--pdeathsig", "TERM", *command, *(_STAY_ROOT if os.geteuid() == 0 else ())]
    environment = {**os.environ, "PATH": SEARCH_PATH}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End dnsmasq, which takes milliseconds."""
    process.terminate()
    try:
        process.wait(_END_BOUND_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stderr is not None
    process.stderr.close()


async def _watch(process: subprocess.Popen[bytes], interface: str, log: Log, watcher: Watcher) -> None:
    """Tell what dnsmasq complains about and which machines it tells what to boot, and raise when it ends."""
    assert process.stderr is not None
    lines: list[str] = []
    pool, dhcp = PoolWatch(), DhcpWatch()
    buffer = b""
    async with trio.lowlevel.FdStream(os.dup(process.stderr.fileno())) as said:
        async for chunk in said:
            *whole, buffer = (buffer + chunk).split(b"\n")
            for line in whole:
                text = line.decode(errors="replace")
                lines = [*lines, text][-_LAST_LINES:]
                if "warning" in text or "failed" in text or "no address range" in text:
                    log.tell(f"dnsmasq: {text}", source="dnsmasq")
                if mac := turned_away(text):
                    watcher.turned_away(mac)
                    if told := pool.turned_away(mac, now_s=trio.current_time()):
                        log.tell(told)
                elif mac := given(text):
                    watcher.given(mac)
                if mac := dhcp.hear(text):
                    watcher.offered(mac)
    raise _end(lines, await trio.to_thread.run_sync(process.wait, _END_BOUND_S), interface)


def _end(lines: list[str], status: int, interface: str) -> SwarmbootError:
    """Return what the end of dnsmasq means."""
    useful = [line for line in lines if line.strip() and "FAILED to start up" not in line]
    said = re.sub(r"\A(?:dnsmasq[^:]*: )+", "", useful[-1]) if useful else f"status {status}"
    if os.strerror(errno.EADDRINUSE) in said:
        return _taken(interface, "DHCP", said)
    return ResourceError(f"dnsmasq has ended on {interface}", found=said, hint="correct the cause and start again")
