"""What a DHCP server must say so that bare machines find stage 0: dnsmasq's whole configuration, ISC's and Kea's parts.

Pure: a plan in, text out. Follows dnsmasq(8) 2.90, RFC 4578 and its registry of client architectures (IANA, "Processor
Architecture Types"), and the UEFI specification section 24.7 for HTTP boot. Two things decide its shape: iPXE, once
loaded, asks DHCP again and is then told by its option 175 from the firmware that loaded it; and a proxy may answer only
what calls itself PXEClient, so UEFI HTTP boot needs this server to be the DHCP server.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass

from seeder.stage0.dhcp.dhcp_options import DhcpOption
from swarmboot.errors import MalformedSettingError
from swarmboot.text.addresses import read_server
from swarmboot.text.units import parse_duration

TFTP_MAX = 1000
LEASES_MAX = 16384
_LEASE_S = 3600
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=~-]{0,14}\Z")
_FILE = re.compile(r"[A-Za-z0-9._-]*\Z")
_PATH = re.compile(r"[A-Za-z0-9/._+@=~:()\[\]-]+(?: [A-Za-z0-9/._+@=~:()\[\]-]+)*\Z")
_PI_MACS = ("28:cd:c1", "2c:cf:67", "b8:27:eb", "d8:3a:dd", "dc:a6:32", "e4:5f:01")
_PI_GUIDS = ("RPi4", "RPi5")
"""With what a Pi 4 or 5 begins its option 97, behind the type, whatever its MAC address is."""

_PI_OPTION = b"\x06\x01\x03" + b"\x0a\x04\x00PXE" + b"\x09\x14\x00\x00\x11Raspberry Pi Boot" + b"\xff"
_Arches = tuple[tuple[str, tuple[int, ...]], ...]
_PXE_ARCHES: _Arches = (("bios", (0,)), ("efi64", (7, 9)), ("arm64", (11,)))
_HTTP_ARCHES: _Arches = (("efi64", (16,)), ("arm64", (19,)))
_U_BOOT = ("uboot", (21, 22))


@dataclass(frozen=True, slots=True)
class BootFiles:
    """The names of iPXE's binaries by the firmware that loads them; empty where this server has none."""

    bios: str = ""
    efi64: str = ""
    arm64: str = ""


@dataclass(frozen=True, slots=True)
class DhcpRange:
    """The addresses that a full DHCP server gives out, and for how long in seconds."""

    first: ipaddress.IPv4Address
    last: ipaddress.IPv4Address
    lease_s: int = _LEASE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpPlan:
    """One network to answer on. `addresses` is None beside an existing DHCP server; `origin` is the stage-0 server.
    `is_range_ours` says that nobody stands in the range without a lease, so that no address needs a ping first;
    `options` are what else machines are told, `more_file` is read by dnsmasq after all of this, and
    `u_boot_file` is what boards with U-Boot load first, if they are served.

    Everything in it can stand in dnsmasq's, ISC's and Kea's files, which know quotes, comments and lines; raises
    MalformedSettingError for what cannot.
    """

    interface: str
    address: ipaddress.IPv4Interface
    origin: str
    files: BootFiles
    tftp_root: str
    lease_file: str
    addresses: DhcpRange | None = None
    is_range_ours: bool = False
    options: tuple[DhcpOption, ...] = ()
    more_file: str = ""
    u_boot_file: str = ""

    def __post_init__(self) -> None:
        """Check every text."""
        files = (self.files.bios, self.files.efi64, self.files.arm64, self.u_boot_file)
        written = [(_INTERFACE, self.interface), (_PATH, self.tftp_root), (_PATH, self.lease_file)]
        written += [(_PATH, self.more_file)] if self.more_file else []
        for pattern, text in [*written, *((_FILE, name) for name in files)]:
            if not pattern.match(text):
                raise MalformedSettingError(
                    "a DHCP server's configuration cannot hold this name",
                    expected="letters, digits and . _ + - = ~, in a path also / @ : ( ) [ ] and single spaces",
                    found=repr(text)[:80],
                    hint="choose another interface or folder",
                )
        read_server(self.origin)

    @property
    def is_proxy(self) -> bool:
        """Return whether another server gives out the addresses."""
        return self.addresses is None


def parse_pxe(text: str) -> tuple[str, bool]:
    """Return the interface in `INTERFACE[,proxy]` and whether it is to be a proxy; raise MalformedSettingError."""
    interface, comma, word = text.partition(",")
    if not _INTERFACE.match(interface) or (comma and word != "proxy"):
        raise MalformedSettingError("--pxe is malformed", expected="INTERFACE or INTERFACE,proxy", found=repr(text))
    return interface, bool(comma)


def parse_dhcp_range(text: str, *networks: ipaddress.IPv4Network) -> DhcpRange:
    """Return the range in `FIRST,LAST[,DURATION]`; raise MalformedSettingError if it is inside none of `networks`."""
    words = text.split(",")
    within = " or ".join(map(str, networks))
    refusal = MalformedSettingError(
        "--dhcp-range is malformed", expected=f"FIRST,LAST[,DURATION] within {within}", found=repr(text)
    )
    if len(words) not in (2, 3):
        raise refusal
    try:
        first, last = (ipaddress.IPv4Address(word.strip()) for word in words[:2])
    except ValueError as error:
        raise refusal from error
    if first > last or not any(first in network and last in network for network in networks):
        raise refusal
    try:
        lease_s = round(parse_duration(words[2].strip())) if len(words) == 3 else _LEASE_S
    except MalformedSettingError as error:
        raise MalformedSettingError(
            "--dhcp-range is malformed", expected="a DURATION as in 10m or 1h", found=repr(text)
        ) from error
    return DhcpRange(first, last, max(120, lease_s))


def dnsmasq_config(plan: DhcpPlan) -> str:
    """Return a whole configuration file for dnsmasq: no DNS, this one interface, nothing on any other."""
    lines = [
        "# written by swarmboot for dnsmasq 2.81 or newer",
        "port=0",
        f"interface={plan.interface}",
        "except-interface=lo",
        "bind-interfaces",
        "no-hosts",
        "no-resolv",
        "pid-file=",
        "log-facility=-",
        f"enable-tftp={plan.interface}",
        f"tftp-root={plan.tftp_root}",
        f"tftp-max={TFTP_MAX}",
        *_range_lines(plan),
        "# who asks: iPXE says so in option 175; firmware names its architecture in option 93",
        "dhcp-match=set:ipxe,175",
        "dhcp-userclass=set:ipxe,iPXE",
        "dhcp-vendorclass=set:httpclient,HTTPClient",
        *_match_lines("", _PXE_ARCHES),
        *_match_lines("http-", _HTTP_ARCHES),
        *(_match_lines("", (_U_BOOT,)) if plan.u_boot_file else ()),
        "# a Raspberry Pi calls itself BIOS",
        *(f"dhcp-mac=set:pi,{prefix}:*:*:*" for prefix in _PI_MACS),
        *(f"dhcp-match=set:pi,97,{_guid(name).hex(':')}" for name in _PI_GUIDS),
        "tag-if=set:pxebios,tag:bios,tag:!pi,tag:!ipxe",
        *_boot_lines(plan),
        *(option.line for option in plan.options),
        *([f"conf-file={plan.more_file}"] if plan.more_file else []),
    ]
    return "\n".join(lines) + "\n"


def _match_lines(prefix: str, arches: _Arches) -> list[str]:
    return [f"dhcp-match=set:{prefix}{name},option:client-arch,{each}" for name, numbers in arches for each in numbers]


def _range_lines(plan: DhcpPlan) -> list[str]:
    if plan.addresses is None:
        return [
            "# beside another DHCP server, which gives out the addresses",
            f"dhcp-range={plan.address.network[0]},proxy",
        ]
    given = plan.addresses
    return [
        "dhcp-authoritative",
        "# firmware, iPXE and the system ask with different client ids: one lease a machine all the same",
        "dhcp-ignore-clid",
        f"dhcp-lease-max={LEASES_MAX}",
        f"dhcp-leasefile={plan.lease_file}",
        f"dhcp-range={given.first},{given.last},{plan.address.netmask},{given.lease_s}",
        *(
            ("# nobody stands in the range without a lease: asked before the start", "no-ping")
            if plan.is_range_ours
            else ()
        ),
    ]


def _boot_lines(plan: DhcpPlan) -> list[str]:
    script = f"{plan.origin}/boot.ipxe"
    own = plan.address.ip
    files = plan.files
    lines = ["# what it is told: iPXE the script, firmware an iPXE"]
    lines.append(f"dhcp-boot=tag:ipxe,{script},,{own}")
    for tag, name, services in (
        ("pxebios", files.bios, ("x86PC",)),
        ("efi64", files.efi64, ("BC_EFI", "x86-64_EFI")),
        ("arm64", files.arm64, ("ARM64_EFI",)),
    ):
        if not name:
            lines.append(f"# no iPXE for {tag} on this server")
            continue
        guard = f"tag:{tag},tag:!ipxe"
        if plan.is_proxy:
            shown = "tag:!ipxe,tag:!pi" if tag == "pxebios" else "tag:!ipxe"
            lines += [f'pxe-service={shown},{service},"swarmboot",{name}' for service in services]
        else:
            lines.append(f"dhcp-boot={guard},{name},,{own}")
    if plan.is_proxy:
        lines += [
            f'pxe-service=tag:ipxe,{each},"swarmboot",{script}'
            for each in ("x86PC", "BC_EFI", "x86-64_EFI", "ARM64_EFI")
        ]
        lines += ['pxe-service=tag:pi,0,"Raspberry Pi Boot"', "# UEFI HTTP boot needs a full DHCP server"]
        return lines
    if plan.u_boot_file:
        lines.append(f"dhcp-boot=tag:{_U_BOOT[0]},{plan.u_boot_file},,{own}")
    lines += ["# the Raspberry Pi's boot ROM looks for this text in option 43, then fetches its firmware over TFTP"]
    lines += ['pxe-service=tag:pi,0,"Raspberry Pi Boot"', f"dhcp-boot=tag:pi,bootcode.bin,,{own}"]
    for kind, _ in _HTTP_ARCHES:
        if name := getattr(files, kind):
            lines.append(f"dhcp-option-force=tag:http-{kind},tag:httpclient,60,HTTPClient")
            lines.append(f"dhcp-boot=tag:http-{kind},tag:httpclient,{plan.origin}/boot/{name},,{own}")
    return lines


def isc_config(plan: DhcpPlan) -> str:
    """Return the part of an ISC dhcpd.conf(5) that makes machines find stage 0."""
    told = [('exists user-class and option user-class = "iPXE"', f'filename "{plan.origin}/boot.ipxe";')]
    for name, numbers in _HTTP_ARCHES:
        if file := getattr(plan.files, name):
            url = f"{plan.origin}/boot/{file}"
            told.append((_isc_arch(numbers), f'option vendor-class-identifier "HTTPClient"; filename "{url}";'))
    if plan.u_boot_file:
        told.append((_isc_arch(_U_BOOT[1]), f'filename "{plan.u_boot_file}";'))
    by_guid = (f"substring(option guid, 0, 5) = {_guid(name).hex(':')}" for name in _PI_GUIDS)
    pis = " or ".join([*(f"substring(hardware, 1, 3) = {prefix}" for prefix in _PI_MACS), *by_guid])
    told.append((pis, f'option vendor-encapsulated-options {_PI_OPTION.hex(":")}; filename "bootcode.bin";'))
    for name, numbers in _PXE_ARCHES:
        if file := getattr(plan.files, name):
            told.append((_isc_arch(numbers), f'filename "{file}";'))
    lines = [
        "option arch code 93 = unsigned integer 16;",
        "option guid code 97 = string;",
        f"next-server {plan.address.ip};",
    ]
    for number, (test, then) in enumerate(told):
        lines += [f"{'if' if number == 0 else '} elsif'} {test} {{", f"  {then}"]
    return "\n".join([*lines, "}", ""])


def _guid(name: str) -> bytes:
    """Return the beginning of a machine's option 97 (RFC 4578, section 2.3): the type 0, then four letters."""
    return b"\0" + name.encode()


def _isc_arch(numbers: tuple[int, ...]) -> str:
    return " or ".join(f"option arch = 00:{number:02x}" for number in numbers)


def kea_config(plan: DhcpPlan) -> str:
    """Return the client classes of a Kea Dhcp4 configuration that make machines find stage 0, as JSON."""
    is_ipxe = "option[77].hex == 'iPXE'"
    by_guid = (f"substring(option[97].hex, 0, 5) == 0x{_guid(name).hex()}" for name in _PI_GUIDS)
    by_mac = (f"substring(pkt4.mac, 0, 3) == 0x{prefix.replace(':', '')}" for prefix in _PI_MACS)
    is_pi = " or ".join([*by_mac, *by_guid])
    http = [{"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": True}]
    menu = [{"code": 43, "data": _PI_OPTION.hex(), "csv-format": False, "always-send": True}]

    def kind(name: str, test: str, file: str, **more: object) -> dict[str, object]:
        own = str(plan.address.ip)
        return {"name": f"swarmboot-{name}", "test": test, "next-server": own, "boot-file-name": file, **more}

    def is_arch(numbers: tuple[int, ...]) -> str:
        return " or ".join(f"option[93].hex == 0x{number:04x}" for number in numbers)

    classes = [kind("ipxe", is_ipxe, f"{plan.origin}/boot.ipxe")]
    classes.append(kind("pi", f"not ({is_ipxe}) and ({is_pi})", "bootcode.bin", **{"option-data": menu}))
    if plan.u_boot_file:
        classes.append(kind(_U_BOOT[0], is_arch(_U_BOOT[1]), plan.u_boot_file))
    for name, numbers in _PXE_ARCHES:
        if file := getattr(plan.files, name):
            classes.append(kind(name, f"not ({is_ipxe}) and not ({is_pi}) and ({is_arch(numbers)})", file))
    for name, numbers in _HTTP_ARCHES:
        if file := getattr(plan.files, name):
            url = f"{plan.origin}/boot/{file}"
            classes.append(kind(f"http-{name}", is_arch(numbers), url, **{"option-data": http}))
    return json.dumps({"Dhcp4": {"client-classes": classes}}, indent=2) + "\n"
