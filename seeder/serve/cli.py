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
from seeder.record.place import leave_address, state_folder
from seeder.serve.lines.start_lines import start_lines
from seeder.serve.run import ServeOptions, link_rate_bytes_per_s
from seeder.serve.run import serve as run
from seeder.serve.watching import WatchingFlags, watching_options
from seeder.stage0.cli import Stage0Flags, stage0_options
from seeder.stage0.rack_map import check_node_files, node_files_notes
from seeder.stage0.run import Stage0Options
from seeder.systemd import notify
from swarmboot.config_file import ConfiguredCommand
from swarmboot.crypto.fleet_token import FleetToken, read_tokens
from swarmboot.errors import MalformedSettingError, refusal_in
from swarmboot.parameters import RATE, SERVER
from swarmboot.release import layout
from swarmboot.text.addresses import host_port, split_host_port

DEFAULT_PORT = 8470
CONFIG_FILE = Path("/etc/swarmboot/serve.toml")


def parse_listen(text: str, option: str = "--listen") -> tuple[str, int]:
    """Return host and port of `ADDR:PORT`, `:PORT` or `[V6]:PORT`; raise MalformedSettingError otherwise."""
    try:
        host, port = split_host_port(text)
    except ValueError as error:
        raise MalformedSettingError(
            f"{option} is malformed", expected="ADDR:PORT, as in 0.0.0.0:8470", found=repr(text)
        ) from error
    return host or "0.0.0.0", port  # noqa: S104 - the operator asked for every address


@click.command(cls=ConfiguredCommand, config_file=CONFIG_FILE, environment="SWARMBOOT_SERVE")
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
    type=RATE,
    metavar="RATE",
    help="What boots may take of this server's link, as in 900mbit. "
    "[default: the speed of the interface with the default route]",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    type=SERVER,
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
@watching_options
@stage0_options
def serve(
    site: Path, address: str, uplink: float | None, origins: tuple[str, ...], tls_cert: Path | None,
    tls_key: Path | None, names: tuple[str, ...], state: Path | None, fleet_token: Path | None, **more: Any,
) -> None:  # fmt: skip
    """Serve a published SITE to a rack, over HTTPS.

    \b
    Example:
      swarmboot serve site/ --listen 10.0.0.1:8470 --uplink 900mbit
      swarmboot serve site/ --listen 10.0.0.1:8470 --print-config > /etc/swarmboot/serve.toml
      swarmboot serve site/ --pxe eth1 --dhcp-range 10.0.0.100,10.0.0.250
    """
    keep_standard_streams()
    watching_flags = WatchingFlags(**{name: more.pop(name) for name in WatchingFlags.__dataclass_fields__})
    log = Log(form=Format(watching_flags.log_format))
    logging.getLogger().addHandler(Records(log))
    layout.check_site(site)
    tokens = read_tokens(fleet_token) if fleet_token else ()
    state = state or state_folder()
    flags = Stage0Flags(**more, is_public=not tokens)
    host, port = parse_listen(address)
    with listen(host, port) as listener:
        port = listener.getsockname()[1]
        names = (*names, *filter(None, [urlsplit(flags.server).hostname]))
        issue = partial(_issue, state, host, names) if tls_cert is None else None
        watching = watching_flags.open(parse_listen)
        certificate = _certificate(tls_cert, tls_key, issue)
        notes = _node_files_notes(flags.node_files)
        uplink_bytes_per_s = link_rate_bytes_per_s() if uplink is None else uplink
        stage0 = flags.open(https_port=port, state=state, parse=parse_listen)
        options = ServeOptions(
            site=site, host=host, port=port, uplink_bytes_per_s=uplink_bytes_per_s, origins=origins,
            certificate=certificate, stage0=stage0, log=log, tokens=tokens, node_files=flags.node_files, issue=issue,
            state=state, watching=watching,
        )  # fmt: skip
        try:
            _run(options, listener, partial(_tell_started, options, notes))
            log.tell("stopped")
        finally:
            log.close()


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
        on = f", answering DHCP on {bare.dnsmasq.interface}" if bare.dnsmasq else ""
        yield f"stage 0 on http://{host_port(host, port)}{on}"
        if bare.dnsmasq and bare.dnsmasq.note:
            yield bare.dnsmasq.note
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
    notify.tell(notify.READY)
