"""The verb `swarmboot pxe`, and the options of `swarmboot serve` that are about stage 0."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seeder.boot_script.load import Stage0Trust
from seeder.stage0.dhcp.dhcp_options import DhcpOption, parse_dhcp_option
from seeder.stage0.pi_cli import rpi
from swarmboot.errors import MalformedSettingError
from swarmboot.host.text_files import read_text
from swarmboot.parameters import JSON
from swarmboot.text.addresses import read_server, split_host_port
from swarmboot.verbs import Verbs

if TYPE_CHECKING:
    from seeder.boot_script.grammar import Source
    from seeder.stage0.dhcp.dnsmasq_process import PxeOptions
    from seeder.stage0.menu_map import MenuMap
    from seeder.stage0.rack_map import RackMap
    from seeder.stage0.run import Stage0Options
    from seeder.stage0.u_boot import UBoot

STAGE0_PORT = 80
_IPXE = "/usr/lib/ipxe"
_HAS_PORT = re.compile(r"\A[^:]*:[0-9]+\Z|\]:[0-9]+\Z")
_OPTIONS = (
    click.option("--pxe", default="", metavar="INTERFACE[,proxy]",
                 help="Bring up bare machines on this interface: answer DHCP and serve stage 0; `proxy` beside an "
                      "existing DHCP server."),
    click.option("--dhcp-range", default="", metavar="FIRST,LAST[,DURATION]",
                 help="The addresses to give out, as in 10.0.0.100,10.0.0.250,1h."),
    click.option("--dhcp-option", "dhcp_options", multiple=True, metavar="NAME,VALUE",
                 callback=lambda _c, _o, texts: tuple(map(parse_dhcp_option, texts)),
                 help="What else machines are told, as in router,10.0.0.254 or dns-server,1.1.1.1; a name without a "
                      "value is not told at all; repeatable.  [default: this server as router, no name server]"),
    click.option("--dhcp-conf", type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=True),
                 metavar="FILE", help="More of dnsmasq's configuration, read after all else."),
    click.option("--pxe-listen", default="", metavar="ADDR:PORT",
                 help="Where firmware fetches stage 0 over plain HTTP.  [default: the interface's address, port 80]"),
    click.option("--server", default="", metavar="URL", callback=lambda _c, _o, url: url and read_server(url),
                 help="This server's address for nodes, https://HOST:PORT, behind a proxy or NAT.  "
                      "[default: the address that a machine asks at]"),
    click.option("--stage0-trust", type=click.Choice([each.value for each in Stage0Trust]),
                 default=Stage0Trust.ORIGIN_ONLY.value, show_default=True,
                 help="Whether booted neighbours may serve kernel and initramfs, and who checks them then."),
    click.option("--stage0-slots", type=click.IntRange(min=0), default=0, metavar="N",
                 help="How many machines load from this server at once.  [default: as many as fill the uplink]"),
    click.option("--racks", type=click.Path(path_type=Path), metavar="FILE",
                 help="Which machines stand in which rack: lines of MAC-or-network RACK [PROFILE]."),
    click.option("--boot-menu", type=click.Path(path_type=Path), metavar="FILE",
                 help="Which machines are shown a menu: lines of MAC-or-network SECONDS ITEM..., the first item taken "
                      "after so long; items are release, channel:NAME, local, memtest.  [default: no menu]"),
    click.option("--u-boot", "has_u_boot", is_flag=True,
                 help="Serve boards with U-Boot over TFTP too: they check nothing of what they load."),
    click.option("--boards", type=click.Path(path_type=Path), metavar="FILE",
                 help="Which device tree a board with U-Boot gets: lines of MAC [FILE-BELOW-dtb/], * for all others.  "
                      "[default: what U-Boot chooses]"),
    click.option("--u-boot-unchecked", "is_u_boot_unchecked", is_flag=True,
                 help="Serve them although --stage0-trust has everything checked before it is started."),
    click.option("--node-files", type=click.Path(path_type=Path), metavar="DIR",
                 help="Files to add to nodes' initramfs: DIR/default/ and DIR/52-54-00-12-34-56/."),
    click.option("--ipxe", type=click.Path(path_type=Path), default=_IPXE, show_default=True, metavar="DIR",
                 help="Folder with iPXE's binaries."),
)  # fmt: skip


def stage0_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options about stage 0 to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage0Flags:
    """The options about stage 0 as given; `is_public` says that nodes' own files may go over plain HTTP."""

    pxe: str
    dhcp_range: str
    pxe_listen: str
    stage0_trust: str
    stage0_slots: int
    racks: Path | None
    boot_menu: Path | None
    node_files: Path | None
    ipxe: Path
    has_u_boot: bool = False
    boards: Path | None = None
    is_u_boot_unchecked: bool = False
    dhcp_options: tuple[DhcpOption, ...] = ()
    dhcp_conf: Path | None = None
    server: str = ""
    is_public: bool = True

    @property
    def is_wanted(self) -> bool:
        """Return whether stage 0 is to be served."""
        return bool(self.pxe or self.pxe_listen)

    def port(self, parse: Callable[[str, str], tuple[str, int]]) -> int:
        """Return the port of the plain-HTTP listener; raise MalformedSettingError for a malformed --pxe-listen."""
        return parse(self.pxe_listen, "--pxe-listen")[1] if self.pxe_listen else STAGE0_PORT

    def open(
        self, *, https_port: int, state: Path, parse: Callable[[str, str], tuple[str, int]]
    ) -> Stage0Options | None:
        """Return what stage 0 runs with, its listener open and dnsmasq's files written; None if it is not wanted.

        Raises SettingsError, ResourceError and their kinds for whatever is in the way.
        """
        self.check()
        if not self.is_wanted:
            return None
        from seeder.http.listener import listen
        from seeder.stage0.dhcp.dnsmasq_process import plan_dhcp, prepare
        from seeder.stage0.memory_test import MemoryTestFiles, find_memory_test
        from seeder.stage0.run import Stage0Options

        host, port = parse(self.pxe_listen, "--pxe-listen")[0] if self.pxe_listen else "", self.port(parse)
        options = self.pxe_options(state / "pxe", port)
        plan = plan_dhcp(options) if self.pxe else None
        dnsmasq = prepare(plan, options) if plan else None
        racks = read_rack_map(self.racks)
        menus = read_menu_map(self.boot_menu)
        memtest = find_memory_test(self.ipxe) if menus.has_memtest else MemoryTestFiles()
        host = host or (str(plan.address.ip) if plan else "0.0.0.0")  # noqa: S104 - every address
        listener = listen(host, port, option="--pxe-listen")
        return Stage0Options(
            listener=listener,
            https_port=https_port,
            server=self.server,
            trust=Stage0Trust(self.stage0_trust),
            slots=self.stage0_slots,
            dnsmasq=dnsmasq,
            ipxe=self.ipxe,
            racks=racks,
            menus=menus,
            memtest=memtest,
            node_files=self.node_files if self.is_public else None,
            pi_folder=state / "pxe/rpi",
            u_boot=self._u_boot(dnsmasq.tftp_root, racks, self.server or f"https://{plan.address.ip}:{https_port}")
            if plan and dnsmasq and self.has_u_boot
            else None,
        )

    def check(self) -> None:
        """Raise MalformedSettingError for options that do not fit together."""
        if self.is_wanted:
            self._check_u_boot()
        elif self.dhcp_range or self.dhcp_options or self.dhcp_conf:
            word = "--dhcp-range" if self.dhcp_range else "--dhcp-option" if self.dhcp_options else "--dhcp-conf"
            raise MalformedSettingError(f"{word} needs --pxe", hint="say which interface to answer on")

    def _check_u_boot(self) -> None:
        """Raise MalformedSettingError if boards with U-Boot cannot, or are not to be served."""
        if not self.has_u_boot:
            if self.boards or self.is_u_boot_unchecked:
                word = "--boards" if self.boards else "--u-boot-unchecked"
                raise MalformedSettingError(f"{word} needs --u-boot", hint="say that boards are to be served")
            return
        if not self.pxe:
            raise MalformedSettingError("--u-boot needs --pxe", hint="say which interface the boards are on")
        trust = Stage0Trust(self.stage0_trust)
        if trust in (Stage0Trust.IPXE_VERIFY, Stage0Trust.SECUREBOOT) and not self.is_u_boot_unchecked:
            raise MalformedSettingError(
                f"--stage0-trust {trust.value} has what machines load checked, and U-Boot checks nothing",
                expected="--stage0-trust origin-only or lan", found="--u-boot",
                hint="serve boards from another server, or say --u-boot-unchecked",
            )  # fmt: skip

    def _u_boot(self, root: Path, racks: RackMap, server: str) -> UBoot:
        from seeder.stage0.boards import Boards, parse_boards
        from seeder.stage0.u_boot import UBoot

        boards = Boards()
        if self.boards is not None:
            boards = parse_boards(read_text(self.boards, label=str(self.boards)), where=str(self.boards))
        return UBoot(root=root, boards=boards, racks=racks, server=server)

    def pxe_options(self, folder: Path, http_port: int) -> PxeOptions:
        """Return what dnsmasq's plan is made from."""
        from seeder.stage0.dhcp.dnsmasq_process import PxeOptions
        from seeder.stage0.u_boot import BOOT_FILE

        return PxeOptions(
            pxe=self.pxe, dhcp_range=self.dhcp_range, ipxe=self.ipxe, folder=folder, http_port=http_port,
            options=self.dhcp_options, more_file=self.dhcp_conf, u_boot_file=BOOT_FILE if self.has_u_boot else "",
        )  # fmt: skip


def read_rack_map(path: Path | None) -> RackMap:
    """Return the rack map in a file, an empty one without a file; raise UnreadableError or MalformedSettingError."""
    from seeder.stage0.rack_map import RackMap, parse_rack_map

    return RackMap() if path is None else parse_rack_map(read_text(path, label=str(path)), where=str(path))


def read_menu_map(path: Path | None) -> MenuMap:
    """Return the boot menus in a file, none without a file; raise UnreadableError or MalformedSettingError."""
    from seeder.stage0.menu_map import MenuMap, parse_menu_map

    return MenuMap() if path is None else parse_menu_map(read_text(path, label=str(path)), where=str(path))


@click.group(cls=Verbs)
def pxe() -> None:
    """What bare machines need from a DHCP server, or in its place.

    \b
    Example:
      swarmboot pxe config --pxe eth1,proxy --for kea
      swarmboot pxe chainload 10.0.0.1 --usb stick.img
    """


@pxe.command()
@click.option("--pxe", "interface", required=True, metavar="INTERFACE[,proxy]", help="The interface machines are on.")
@click.option("--dhcp-range", default="", metavar="FIRST,LAST[,DURATION]", help="The addresses to give out.")
@click.option("--port", type=click.IntRange(1, 65535), default=STAGE0_PORT, show_default=True, metavar="PORT",
              help="Port of the seeder's stage-0 server.")  # fmt: skip
@click.option("--for", "server", type=click.Choice(["dnsmasq", "isc", "kea"]), default="dnsmasq", show_default=True,
              help="Which DHCP server to write for.")  # fmt: skip
@click.option("--tftp", type=click.Path(path_type=Path), default=Path("/var/lib/swarmboot/pxe"), show_default=True,
              help="Folder for dnsmasq's leases and TFTP files.")  # fmt: skip
@click.option("--ipxe", type=click.Path(path_type=Path), default=_IPXE, show_default=True, help="Folder of iPXE.")
@click.option("--u-boot", "has_u_boot", is_flag=True, help="For boards with U-Boot too, as `serve --u-boot`.")
@JSON
def config(
    interface: str, dhcp_range: str, port: int, server: str, tftp: Path, ipxe: Path, has_u_boot: bool, is_json: bool
) -> None:
    """Print the configuration that brings machines to this server, and change nothing.

    \b
    Example:
      swarmboot pxe config --pxe eth1 --dhcp-range 10.0.0.100,10.0.0.250
      swarmboot pxe config --pxe eth1,proxy --for kea
    """
    from seeder.stage0.dhcp.dnsmasq import dnsmasq_config, isc_config, kea_config
    from seeder.stage0.dhcp.dnsmasq_process import PxeOptions, plan_dhcp
    from seeder.stage0.u_boot import BOOT_FILE

    options = PxeOptions(
        pxe=interface, dhcp_range=dhcp_range, ipxe=ipxe, folder=tftp, http_port=port,
        u_boot_file=BOOT_FILE if has_u_boot else "",
    )  # fmt: skip
    plan = plan_dhcp(options)
    text = {"dnsmasq": dnsmasq_config, "isc": isc_config, "kea": kea_config}[server](plan)
    click.echo(json.dumps({"for": server, "config": text}) if is_json else text, nl=is_json)


def _source(_context: click.Context, _parameter: click.Parameter, text: str) -> Source:
    """Return the stage-0 server that was named; raise MalformedSettingError for what is no address."""
    from seeder.boot_script.grammar import Source

    try:
        return Source(*split_host_port(text if _HAS_PORT.search(text) else f"{text}:{STAGE0_PORT}"))
    except ValueError as error:
        raise MalformedSettingError(
            "SERVER is malformed", expected="ADDRESS or ADDRESS:PORT, as in 10.0.0.1 or [fd00::1]:80", found=text
        ) from error


@pxe.command()
@click.argument("server", callback=_source)
@click.option("--grub", "is_grub", is_flag=True, help="A menu entry for the GRUB on a disk, BIOS or UEFI.")
@click.option("--ipxe", "is_ipxe", is_flag=True, help="A script for an iPXE of your own: autoexec.ipxe, or EMBED=.")
@click.option("--usb", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the image of a USB stick that starts BIOS and UEFI machines.")  # fmt: skip
@JSON
def chainload(server: Source, is_grub: bool, is_ipxe: bool, usb: Path | None, is_json: bool) -> None:
    """Print or write what brings machines without network boot to the stage 0 that SERVER serves.

    SERVER is where `swarmboot serve --pxe-listen` listens, as ADDRESS or ADDRESS:PORT.

    \b
    Example:
      swarmboot pxe chainload 10.0.0.1 --grub >> /etc/grub.d/40_custom && update-grub
      swarmboot pxe chainload 10.0.0.1 --ipxe > /media/stick/autoexec.ipxe
      swarmboot pxe chainload 10.0.0.1 --usb stick.img && dd if=stick.img of=/dev/sdX bs=4M
    """
    from seeder.boot_script.chainload import grub_menu_entry, ipxe_start
    from seeder.stage0.stick import write_stick

    if is_grub + is_ipxe + (usb is not None) != 1:
        raise click.UsageError("one of --grub, --ipxe and --usb FILE must be there, and one alone")
    if usb is not None:
        kinds = write_stick(usb, server)
        said = {"for": "usb", "file": str(usb), "size_bytes": usb.stat().st_size, "firmware": list(kinds)}
        click.echo(json.dumps(said) if is_json else f"{usb} starts {' and '.join(kinds)} machines")
        return
    text = grub_menu_entry(server) if is_grub else ipxe_start(server)
    kind = "grub" if is_grub else "ipxe"
    click.echo(json.dumps({"for": kind, "config": text}) if is_json else text, nl=is_json)


pxe.add_command(rpi)
