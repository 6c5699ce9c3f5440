"""The verb `swarmboot serve`: its options. What they start is imported when it is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seeder.http.server_names import read_name
from seeder.serve.listen_at import DEFAULT_PORT
from seeder.serve.watching import watching_options
from seeder.stage0.cli import stage0_options
from swarmboot.config_file import ConfiguredCommand
from swarmboot.parameters import RATE, SERVER

CONFIG_FILE = Path("/etc/swarmboot/serve.toml")


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
def serve(**given: Any) -> None:
    """Serve a published SITE to a rack, over HTTPS.

    Without it what /etc/swarmboot/serve.toml says is served, or else the folder `site` here.

    \b
    Example:
      swarmboot serve site/ --listen 10.0.0.1:8470 --uplink 900mbit
      swarmboot serve site/ --listen 10.0.0.1:8470 --print-config >serve.toml
      swarmboot serve site/ --pxe eth1 --dhcp-range 10.0.0.100,10.0.0.250
    """
    from seeder.serve.start import start

    start(**given)
