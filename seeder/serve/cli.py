"""The verb `swarmboot serve`."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import trio

from seeder.http.authority import ServerCertificate, given_certificate, issue_certificate, local_addresses
from seeder.http.listener import listen
from seeder.http.server_names import read_name, usable_names
from seeder.log import Format, Log, Records, keep_standard_streams
from seeder.record.access import read_ui_token
from seeder.record.place import leave_address, state_folder
from seeder.record.store import Bounds
from seeder.serve import systemd_notify
from seeder.serve.run import ServeOptions, link_rate_bytes_per_s
from seeder.serve.run import serve as run
from seeder.serve.start_lines import start_lines
from seeder.serve.status import parse_networks
from seeder.stage0.cli import Stage0Flags, stage0_options
from seeder.stage0.rack_map import check_node_files, node_files_notes
from seeder.stage0.run import Stage0Options
from swarmboot.addresses import host_port, read_server, split_host_port
from swarmboot.errors import MalformedSettingError, refusal_in
from swarmboot.fleet_token import FleetToken, read_tokens
from swarmboot.release import layout
from swarmboot.units import parse_duration, parse_rate, parse_size

DEFAULT_PORT = 8470


def parse_listen(text: str, option: str = "--listen") -> tuple[str, int]:
    """Return host and port of `ADDR:PORT`, `:PORT` or `[V6]:PORT`; raise MalformedSettingError otherwise."""
    try:
        host, port = split_host_port(text)
    except ValueError as error:
        raise MalformedSettingError(
            f"{option} is malformed", expected="ADDR:PORT, as in 0.0.0.0:8470", found=repr(text)
        ) from error
    return host or "0.0.0.0", port  # noqa: S104 - the operator asked for every address


@click.command()
@click.argument("site", type=click.Path(path_type=Path), default="site")
@click.option(
    "--listen",
    "address",
    default=f"0.0.0.0:{DEFAULT_PORT}",
    show_default=True,
    metavar="ADDR:PORT",
    help="Where to listen; port 0 takes a free one.",
)
@click.option(
    "--uplink",
    metavar="RATE",
    help="What boots may take of this server's link, as in 900mbit. "
    "[default: the speed of the interface with the default route]",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="A mirror of the same site that nodes may fetch from as well; repeatable.",
)
@click.option(
    "--tls-cert", type=click.Path(path_type=Path), help="Certificate chain, PEM, in place of our own authority's."
)
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key, PEM.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    callback=lambda _context, _option, names: tuple(map(read_name, names)),
    help="A host name or address that nodes use for this server; repeatable.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Folder of the private authority and of the history of boots. "
    "[default: /var/lib/swarmboot for root, else ~/.local/state/swarmboot]",
)
@click.option(
    "--fleet-token",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Answer announces and reports, and give secret settings and node files, only to nodes that prove this token.",
)
@click.option(
    "--status-from",
    multiple=True,
    metavar="NETWORK",
    help="Who else may read /status, /metrics and /api, as in 10.0.0.0/24; this machine always may.",
)
@click.option(
    "--ui-token",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Whoever brings this token may see the page /ui/ and read /api, /metrics and /status from anywhere; without "
    "it only this machine and --status-from may.",
)
@click.option(
    "--history-days", type=click.IntRange(1, 3650), default=90, show_default=True, help="How long boots are kept."
)
@click.option(
    "--history-size", default="512MiB", show_default=True, metavar="SIZE", help="How much of the disk they may take."
)
@click.option(
    "--stuck-after",
    default="60s",
    show_default=True,
    metavar="DURATION",
    help="A node may take so long for anything, and the more the longer the others took, before it counts as stuck.",
)
@click.option(
    "--syslog",
    metavar="ADDR:PORT",
    help="Keep what nodes say by syslog over UDP, as iPXE does; port 514 is usual (docs/monitoring.md).",
)
@click.option("--netconsole", metavar="ADDR:PORT", help="Keep what nodes' kernels say by netconsole; 6666 is usual.")
@click.option("--loki", default="", metavar="URL", help="Hand those lines on to Grafana Loki at this address.")
@click.option(
    "--log-format",
    type=click.Choice([each.value for each in Format]),
    default=Format.TEXT.value,
    show_default=True,
    help="Lines with time and level, JSON objects, or the bare words.",
)
@stage0_options
def serve(
    site: Path,
    address: str,
    uplink: str | None,
    origins: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    names: tuple[str, ...],
    state: Path | None,
    fleet_token: Path | None,
    status_from: tuple[str, ...],
    ui_token: Path | None,
    history_days: int,
    history_size: str,
    stuck_after: str,
    syslog: str | None,
    netconsole: str | None,
    loki: str,
    log_format: str,
    **stage0: Any,
) -> None:
    """Serve a published SITE to a rack, over HTTPS.

    \b
    Example:
      swarmboot serve site/ --listen 10.0.0.1:8470 --uplink 900mbit
      swarmboot serve site/ --pxe eth1 --dhcp-range 10.0.0.100,10.0.0.250
    """  # fmt: skip
    keep_standard_streams()
    log = Log(form=Format(log_format))
    logging.getLogger().addHandler(Records(log))
    layout.check_site(site)
    tokens = read_tokens(fleet_token) if fleet_token else ()
    networks = parse_networks(status_from)
    ui_digest = read_ui_token(ui_token) if ui_token else b""
    uplink_bytes_per_s = parse_rate(uplink) if uplink else link_rate_bytes_per_s()
    host, port = parse_listen(address)
    with listen(host, port) as listener:
        port = listener.getsockname()[1]
        names = (*names, *filter(None, [urlsplit(stage0["server"]).hostname]))
        issue = partial(_issue, state or state_folder(), host, names) if tls_cert is None else None
        certificate = _certificate(tls_cert, tls_key, issue)
        flags = Stage0Flags(**stage0, is_public=not tokens)
        notes = _node_files_notes(flags.node_files)
        bare = flags.open(https_port=port, state=state or state_folder(), parse=parse_listen)

        options = ServeOptions(
            site=site,
            host=host,
            port=port,
            uplink_bytes_per_s=uplink_bytes_per_s,
            origins=_mirrors(origins),
            certificate=certificate,
            stage0=bare,
            log=log,
            tokens=tokens,
            node_files=flags.node_files,
            status_from=networks,
            issue=issue,
            state=state or state_folder(),
            bounds=Bounds(age_s=history_days * 86400.0, size_bytes=parse_size(history_size)),
            ui_token=ui_digest,
            stuck_after_s=parse_duration(stuck_after),
            syslog=_udp(syslog, "--syslog"),
            netconsole=_udp(netconsole, "--netconsole"),
            loki=read_server(loki) if loki else "",
        )
        try:
            _run(options, listener, partial(_tell_started, options, notes))
            log.tell("stopped")
        finally:
            log.close()


def _udp(text: str | None, option: str) -> socket.socket | None:
    """Return a socket for datagrams at ADDR:PORT; raise MalformedSettingError or PortInUseError."""
    return listen(*parse_listen(text, option), option=option, kind=socket.SOCK_DGRAM) if text else None


def _mirrors(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Return the mirrors' addresses as nodes can read them; raise MalformedSettingError otherwise."""
    try:
        return tuple(map(read_server, origins))
    except MalformedSettingError as error:
        raise MalformedSettingError(
            "--origin is no server's address", expected=error.expected, found=error.found
        ) from error


def _run(options: ServeOptions, listener: socket.socket, tell_started: Callable[[], None]) -> None:
    """Serve; a refusal that ended a part of the service is raised as it is, without the groups trio wraps it in."""
    try:
        trio.run(run, options, listener, tell_started)
    except BaseExceptionGroup as group:
        refusal = refusal_in(group)
        if refusal is None:
            raise
        raise refusal from group


def _token_line(tokens: tuple[FleetToken, ...]) -> str:
    if tokens:
        count = f"one of {len(tokens)} fleet tokens" if len(tokens) > 1 else "the fleet token"
        return f"announces, reports, secret settings and node files are for nodes that prove {count}"
    return "no --fleet-token: any host that reaches this port may announce itself, and secret settings are not given"


def _node_files_notes(node_files: Path | None) -> list[str]:
    """Return what of a folder of nodes' files no node is given; raise MalformedSettingError if it is no folder."""
    if node_files is None:
        return []
    check_node_files(node_files)
    return [f"note: {note}" for note in node_files_notes(node_files)]


def _stage0_lines(bare: Stage0Options | None) -> Iterator[str]:
    if bare is not None:
        host, port = bare.listener.getsockname()[:2]
        on = f", answering DHCP on {bare.dnsmasq[1]}" if bare.dnsmasq else ""
        yield f"stage 0 on http://{host_port(host, port)}{on}"
        yield f"stage 0 trust is {bare.trust.value}: {bare.trust.words}"


def _certificate(
    tls_cert: Path | None, tls_key: Path | None, issue: Callable[[], ServerCertificate] | None
) -> ServerCertificate:
    if (tls_cert is None) != (tls_key is None):
        raise MalformedSettingError("--tls-cert and --tls-key belong together", hint="give both or neither")
    if tls_cert is not None and tls_key is not None:
        return given_certificate(tls_cert, tls_key)
    assert issue is not None
    return issue()


def _issue(state: Path, host: str, names: tuple[str, ...]) -> ServerCertificate:
    """Return a certificate of our own authority for every name and address of this machine, as they are now."""
    own = usable_names([host, "localhost", socket.gethostname(), *local_addresses()])
    return issue_certificate(state, [*own, *names])


def _tell_started(options: ServeOptions, notes: list[str]) -> None:
    """Say what is served where, leave the address for programs on this machine, and tell systemd."""
    leave_address(options.state, options.host, options.port, options.certificate.authority)
    url = f"https://{host_port(options.host, options.port)}"
    started = start_lines(options.site, url, options.uplink_bytes_per_s, options.certificate)
    for line in (*started, *_stage0_lines(options.stage0), _token_line(options.tokens), *notes):
        options.log.tell(line)
    systemd_notify.tell(systemd_notify.READY)
