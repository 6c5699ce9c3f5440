"""The verb `swarmboot pull`. Click and words only; the work is in `seeder.pull.pull`."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import click

from swarmboot.crypto.fleet_token import read_tokens
from swarmboot.parameters import JSON
from swarmboot.printable import printable
from swarmboot.release import key_files
from swarmboot.release.layout import check_channel_name
from swarmboot.text.addresses import read_server

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("url")
@click.argument("site", type=_PATH, default="site")
@click.option("--trust", type=_PATH, multiple=True, required=True, metavar="PUB", help="Keys the nodes are built with.")
@click.option("--ca", type=_PATH, metavar="FILE", help="The server's ca.pem; the system's authorities without it.")
@click.option(
    "--channel", "channels", multiple=True, metavar="NAME", help="Pull this channel; repeatable, all without it."
)
@click.option("--fleet-token", type=_PATH, metavar="FILE", help="Pull sealed secret settings too.")
@JSON
def pull(
    url: str, site: Path, trust: tuple[Path, ...], ca: Path | None, channels: tuple[str, ...],
    fleet_token: Path | None, is_json: bool,
) -> None:  # fmt: skip
    """Bring a SITE from another seeder at URL, and keep it: for a second server, a mirror, a cell.

    Only what is not here is fetched, and of a new release only what older ones here do not have. Everything is
    verified as nodes verify it; a release older than the one here is refused. Stopped at any moment, it goes on when
    run again. SITE is the folder `site` here without it.

    \b
    Example:
      swarmboot pull https://10.0.0.1:8470 site/ --ca ca.pem --trust swarmboot.pub
    """
    from seeder.pull.client import Remote
    from seeder.pull.printout import pulled_lines, pulled_value
    from seeder.pull.pull import PullOptions
    from seeder.pull.pull import pull as work
    from seeder.site.progress import choose_progress

    url = read_server(url)
    options = PullOptions(
        trusted=key_files.read_trust(trust),
        channels=tuple(dict.fromkeys(check_channel_name(name) for name in channels)),
        token=read_tokens(fleet_token)[0] if fleet_token else None,
    )
    progress = choose_progress("pulled", is_quiet=is_json)
    with closing(Remote(url, ca=ca)) as remote:
        pulled = work(remote, site, options, now_unix_s=time.time(), progress=progress)
    lines = pulled_lines(pulled, url=url, site=site)
    click.echo(json.dumps(pulled_value(pulled, url=url, site=site)) if is_json else "\n".join(map(printable, lines)))
