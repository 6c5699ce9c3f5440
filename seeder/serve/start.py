"""Starts what `swarmboot serve` was asked for: everything is checked and opened before the first line is said.

Apart from the options, so that nothing of the server is loaded for their help and for a shell's completion.
"""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio

from seeder.http.authority import ServerCertificate, given_certificate, issue_certificate, local_addresses
from seeder.http.listener import listen
from seeder.http.server_names import usable_names
from seeder.log import Format, Log, Records, keep_standard_streams
from seeder.record.place import leave_address, state_folder
from seeder.serve.lines.start_lines import start_lines
from seeder.serve.listen_at import parse_listen
from seeder.serve.run import ServeOptions, link_rate_bytes_per_s
from seeder.serve.run import serve as run
from seeder.serve.watching import WatchingFlags
from seeder.stage0.cli import Stage0Flags
from seeder.stage0.rack_map import check_node_files, node_files_notes
from seeder.stage0.run import Stage0Options
from seeder.systemd import notify
from seeder.systemd.sockets import handed_over
from swarmboot.crypto.fleet_token import FleetToken, read_tokens
from swarmboot.errors import MalformedSettingError, refusal_in
from swarmboot.release import layout
from swarmboot.text.addresses import host_port


def start(
    site: Path, address: str, uplink: float | None, origins: tuple[str, ...], tls_cert: Path | None,
    tls_key: Path | None, names: tuple[str, ...], state: Path | None, fleet_token: Path | None, **more: Any,
) -> None:  # fmt: skip
    """Serve until it is stopped; raise SwarmbootError and its kinds for whatever cannot be as it was asked for."""
    keep_standard_streams()
    watching_flags = WatchingFlags(**{name: more.pop(name) for name in WatchingFlags.__dataclass_fields__})
    log = Log(form=Format(watching_flags.log_format))
    logging.getLogger().addHandler(Records(log))
    layout.check_site(site)
    tokens = read_tokens(fleet_token) if fleet_token else ()
    state = state or state_folder()
    flags = Stage0Flags(**more, is_public=not tokens)
    host, port = parse_listen(address)
    with _listener(host, port) as listener:
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


def _listener(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket: the one that systemd hands over, else one of our own.

    Raises MalformedSettingError if systemd holds another address, PortInUseError as `listen` does.
    """
    held = handed_over()
    if not held:
        return listen(host, port)
    for each in held:
        if each.family in (socket.AF_INET, socket.AF_INET6) and each.getsockname()[:2] == (host, port):
            return each
    found = [host_port(*each.getsockname()[:2]) for each in held if each.family in (socket.AF_INET, socket.AF_INET6)]
    raise MalformedSettingError(
        "systemd holds another address than --listen says",
        expected=host_port(host, port),
        found=", ".join(found) or "none",
        hint="run `swarmboot unit install --socket` again, then systemctl daemon-reload and restart swarmboot.socket",
    )


def _run(options: ServeOptions, listener: socket.socket, tell_started: Callable[[], None]) -> None:
    """Serve; a refusal that ended a part of the service is raised as it is, without the groups trio wraps it in."""
    # Debian 12's anyio names what its trio warns of: nothing that an operator could mend.
    warnings.filterwarnings("ignore", "trio.MultiError is deprecated", trio.TrioDeprecationWarning, "anyio")
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
        if bare.u_boot is not None:
            yield "boards with U-Boot load kernel and initramfs over TFTP and check neither, whatever the trust is"


def check_certificate_pair(tls_cert: Path | None, tls_key: Path | None) -> None:
    """Raise MalformedSettingError for a certificate of one's own without its key, or the other way round."""
    if (tls_cert is None) != (tls_key is None):
        raise MalformedSettingError("--tls-cert and --tls-key belong together", hint="give both or neither")


def _certificate(
    tls_cert: Path | None, tls_key: Path | None, issue: Callable[[], ServerCertificate] | None
) -> ServerCertificate:
    check_certificate_pair(tls_cert, tls_key)
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
