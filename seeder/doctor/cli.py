"""The verb `swarmboot doctor`. Click and words; what is read and judged is elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from seeder.doctor import machine
from seeder.doctor.checks import (
    Check,
    Port,
    State,
    check_certificate,
    check_clock,
    check_descriptors,
    check_dhcp,
    check_dnsmasq,
    check_firewall,
    check_multicast,
    check_neighbours,
    check_port,
    check_room,
    check_state,
)
from seeder.doctor.multicast_heard import nodes_heard
from seeder.http.authority import first_certificate, local_addresses
from seeder.record.place import state_folder
from seeder.serve.cli import CONFIG_FILE, serve
from seeder.serve.listen_at import DEFAULT_PORT, parse_listen
from seeder.stage0.cli import STAGE0_PORT
from seeder.stage0.dhcp.dhcp_heard import servers_heard
from seeder.stage0.dhcp.dnsmasq import parse_pxe
from seeder.stage0.dhcp.dnsmasq_process import IPXE_FOLDER, find_boot_files, interface_address
from swarmboot.config_file import read_config
from swarmboot.crypto.validity import validity
from swarmboot.errors import KeyFileError, ResourceError, SiteError, ToolMissingError
from swarmboot.ids import KEY_ID_BYTES
from swarmboot.parameters import JSON
from swarmboot.printable import printable
from swarmboot.release import layout
from swarmboot.wire.discovery import GROUP

FLEET = 500
_PATH = click.Path(path_type=Path)


def _as_served(context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    """Take over what `serve` is told by its file, where nothing else is typed."""
    path = path or (CONFIG_FILE if CONFIG_FILE.exists() else None)
    if path is not None and not context.resilient_parsing:
        known = {parameter.name for parameter in context.command.params}
        context.default_map = {name: value for name, value in read_config(serve, path).items() if name in known}


@click.command()
@click.argument("site", type=_PATH, default="site")
@click.option("--listen", "address", default=f"0.0.0.0:{DEFAULT_PORT}", show_default=True, metavar="ADDR:PORT",
              help="Where `serve` listens.")  # fmt: skip
@click.option("--pxe", default="", metavar="INTERFACE[,proxy]",
              help="Look at what bare machines need, too, and hear who answers DHCP there.")  # fmt: skip
@click.option("--nodes", type=click.IntRange(min=1), metavar="N",
              help=f"How large the fleet is.  [default: {FLEET}, or as many as the history knows]")  # fmt: skip
@click.option("--state", type=_PATH, metavar="DIR", help="Folder of the authority, as of `serve`.")
@click.option("--tls-cert", type=_PATH, metavar="FILE", help="Your own certificate, as of `serve`.")
@click.option("--ipxe", type=_PATH, default=IPXE_FOLDER, show_default=True, metavar="DIR", help="Folder of iPXE.")
@click.option("--config", type=_PATH, metavar="FILE", is_eager=True, expose_value=False, callback=_as_served,
              help=f"The file of options that `serve` reads, whose own these are.  [default: {CONFIG_FILE}, if it "
                   "exists]")  # fmt: skip
@JSON
def doctor(
    site: Path,
    address: str,
    pxe: str,
    nodes: int | None,
    state: Path | None,
    tls_cert: Path | None,
    ipxe: Path,
    is_json: bool,
) -> None:
    """Look for what is in a server's way on this machine, and say how to mend it.

    Ports, firewall, certificates, clock, disk, limits; with --pxe also dnsmasq, iPXE and other DHCP servers. It changes
    nothing; on the interface of --pxe it asks for an address as a machine would, and takes none. The exit status is 60
    if something is in the way. SITE is what the file of options says without it, or else `site` here.

    \b
    Example:
      sudo swarmboot doctor /srv/swarmboot/site --pxe eth1 --nodes 2000
    """
    host, port = parse_listen(address)
    ports = [Port("tcp", port, "HTTPS")]
    checks = [
        _site(site),
        *_of_machine(site, state or state_folder(), nodes or max(FLEET, machine.nodes_known(state or state_folder()))),
        *_certificates(state or state_folder(), tls_cert),
    ]
    if pxe:
        interface, is_proxy = parse_pxe(pxe)
        own = str(interface_address(interface).ip)
        bare = [Port("tcp", STAGE0_PORT, "stage 0"), Port("udp", 67, "DHCP"), Port("udp", 69, "TFTP")]
        held = [machine.with_holder(bare[0], own), *(machine.with_holder(each, "", interface) for each in bare[1:])]
        checks += [*map(check_port, held), *_bare(interface, ipxe, is_proxy=is_proxy)]
        checks.append(multicast(interface, site, state or state_folder()))
        ports += bare
    checks += [check_port(machine.with_holder(ports[0], host)), *_firewall(ports)]
    _tell(checks, is_json=is_json)


def _site(site: Path) -> Check:
    try:
        newest = layout.manifest_numbers(layout.check_site(site))[-1]
    except SiteError as error:
        return Check("site", State.NOTE, str(error))
    return Check("site", State.OK, f"manifest {newest} in {site}")


def _of_machine(site: Path, state: Path, nodes: int) -> Iterator[Check]:
    yield check_clock(datetime.now(UTC), is_kept=machine.is_clock_kept(), published=machine.published_at(site))
    is_folder, may_write = machine.is_state(state)
    if (check := check_state(str(state), is_folder=is_folder, may_write=may_write)) is not None:
        yield check
    for folder in dict.fromkeys((site, state)):
        yield check_room(str(folder), machine.free_bytes(folder))
    if (room := machine.neighbour_room()) is not None:
        yield check_neighbours(room, nodes)
    yield check_descriptors(machine.descriptors_most(), nodes)


def _certificates(state: Path, tls_cert: Path | None) -> Iterator[Check]:
    now = datetime.now(UTC)
    named = {str(tls_cert): tls_cert} if tls_cert else {"the authority": state / "ca.pem"}
    for what, path in named.items():
        try:
            ends = validity(first_certificate(path)).ends if tls_cert or path.exists() else None
        except KeyFileError as error:
            yield Check("certificates", State.FAULT, str(error))
        else:
            yield check_certificate(what, ends, now)


def _bare(interface: str, ipxe: Path, *, is_proxy: bool) -> Iterator[Check]:
    yield check_dnsmasq(machine.dnsmasq_version())
    try:
        files = find_boot_files(ipxe)
        lacking = [name for name in ("bios", "efi64", "arm64") if not getattr(files, name)]
        yield Check("iPXE", State.OK, f"in {ipxe}" + (f", none for {', '.join(lacking)}" if lacking else ""))
    except ToolMissingError as error:
        yield Check("iPXE", State.FAULT, error.what, error.hint)
    try:
        heard = servers_heard(interface)
    except OSError as error:
        found = f"cannot be asked on {interface}: {error.strerror}"
        yield Check("other DHCP servers", State.NOTE, found, "run it as root")
    else:
        yield check_dhcp(heard, own=local_addresses(), interface=interface, is_proxy=is_proxy)


def multicast(interface: str, site: Path, state: Path) -> Check:
    """Return whether multicast gets through to the nodes that are up, asked as a node would ask."""
    up = machine.nodes_up(state, interface_address(interface).network, now_s=time.time())
    try:
        heard = nodes_heard(interface, machine.site_keys(site) or (bytes(KEY_ID_BYTES),))
    except OSError as error:
        return Check("multicast", State.NOTE, f"cannot be tried on {interface}: {error.strerror}")
    return check_multicast(interface, GROUP, is_heard=heard.is_heard, answered=len(heard.nodes), up=up)


def _firewall(ports: list[Port]) -> list[Check]:
    rules = machine.firewall_rules()
    if rules is None:
        return [Check("firewall", State.NOTE, "its rules cannot be read", "run it as root, with nft or iptables there")]
    return check_firewall(rules, ports)


def _tell(checks: list[Check], *, is_json: bool) -> None:
    faults = [check for check in checks if check.state is State.FAULT]
    if is_json:
        click.echo(json.dumps({"can_serve": not faults, "checks": [check.value for check in checks]}))
    else:
        for check in sorted(checks, key=lambda each: list(State).index(each.state), reverse=True):
            click.echo(printable(check.line))
    if faults:
        sys.exit(ResourceError.exit_status)
