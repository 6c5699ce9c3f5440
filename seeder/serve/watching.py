"""The options of `swarmboot serve` that are about seeing how it goes: who may look, what is kept, what nodes say."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click

from seeder.log import Format
from seeder.monitoring.status import Network, parse_networks
from seeder.record.access import read_ui_token
from seeder.record.policy.pace import FLOOR_S
from seeder.record.store import Bounds
from swarmboot.parameters import SERVER, duration, size

_OPTIONS = (
    click.option("--status-from", multiple=True, metavar="NETWORK",
                 help="Who else may read /status, /metrics and /api, as in 10.0.0.0/24; this machine always may."),
    click.option("--ui-token", type=click.Path(path_type=Path), metavar="FILE",
                 help="Whoever brings this token may see the page /ui/ and read /api, /metrics and /status from "
                      "anywhere; without it only this machine and --status-from may."),
    click.option("--history-days", type=click.IntRange(1, 3650), default=90, show_default=True,
                 help="How long boots are kept."),
    click.option("--history-size", type=size(1 << 20, "1MiB or more"), default="512MiB", show_default=True,
                 metavar="SIZE", help="How much of the disk they may take."),
    click.option("--stuck-after", type=duration(1, "1s or longer"), default="60s", show_default=True,
                 metavar="DURATION",
                 help="A node may take so long for anything, and the more the longer the others took, before it "
                      "counts as stuck."),
    click.option("--syslog", default="", metavar="ADDR:PORT",
                 help="Keep what nodes say by syslog over UDP, as iPXE does; port 514 is usual (docs/monitoring.md)."),
    click.option("--netconsole", default="", metavar="ADDR:PORT",
                 help="Keep what nodes' kernels say by netconsole; 6666 is usual."),
    click.option("--loki", type=SERVER, metavar="URL",
                 help="Hand those lines on to Grafana Loki at this address."),
    click.option("--log-format", type=click.Choice([each.value for each in Format]), default=Format.TEXT.value,
                 show_default=True, help="Lines with time and level, JSON objects, or the bare words."),
)  # fmt: skip


def watching_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add these options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What these options come to.

    Networks in `status_from`, and whoever brings the token with the digest `ui_token`, may look. The history is kept
    within `bounds`; no phase of a boot is too long before `stuck_after_s`. The sockets are where nodes speak.
    """

    status_from: tuple[Network, ...] = ()
    ui_token: bytes = b""
    bounds: Bounds = field(default_factory=Bounds)
    stuck_after_s: float = FLOOR_S
    syslog: socket.socket | None = None
    netconsole: socket.socket | None = None
    loki: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchingFlags:
    """These options as given."""

    status_from: tuple[str, ...]
    ui_token: Path | None
    history_days: int
    history_size: int
    stuck_after: float
    syslog: str
    netconsole: str
    loki: str | None
    log_format: str

    def open(self, parse: Callable[[str, str], tuple[str, int]]) -> Watching:
        """Return what they come to, the sockets open; raise SettingsError, PortInUseError and their kinds."""
        from seeder.http.listener import listen  # brings the HTTP server, which the options alone need not

        networks = parse_networks(self.status_from)
        ui_token = read_ui_token(self.ui_token) if self.ui_token else b""
        ends = {f"--{name}": parse(text, f"--{name}") for name, text in self._ends() if text}
        opened = {option: listen(*end, option=option, kind=socket.SOCK_DGRAM) for option, end in ends.items()}
        return Watching(
            status_from=networks,
            ui_token=ui_token,
            bounds=Bounds(age_s=self.history_days * 86400.0, size_bytes=self.history_size),
            stuck_after_s=self.stuck_after,
            syslog=opened.get("--syslog"),
            netconsole=opened.get("--netconsole"),
            loki=self.loki or "",
        )

    def ports(self, parse: Callable[[str, str], tuple[str, int]]) -> tuple[int, ...]:
        """Return where nodes speak; raise MalformedSettingError for what is no end."""
        return tuple(parse(text, f"--{name}")[1] for name, text in self._ends() if text)

    def _ends(self) -> tuple[tuple[str, str], ...]:
        return ("syslog", self.syslog), ("netconsole", self.netconsole)
