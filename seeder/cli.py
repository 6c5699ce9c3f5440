"""The publisher's commands: keygen, publish, verify, rotate, prune. Click and words only; the work is elsewhere."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swarmboot import keyfile
from swarmboot.errors import KeyFileError
from swarmboot.site import DEFAULT_CHANNEL, check_channel_name
from swarmboot.units import parse_duration, parse_size

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--out", type=_PATH, required=True, metavar="DIR", help="Folder to put the two files into.")
def keygen(out: Path) -> None:
    """Make a signing key and its public half.

    The key signs releases and stays with you; the public half goes into the nodes' initramfs.

    \b
    Example:
      swarmboot keygen --out ~/fleet-keys
    """
    private, public = keyfile.write_pair(out)
    click.echo(f"signing key: {private} (keep it offline; whoever holds it decides what nodes boot)")
    click.echo(f"public key:  {public} (give it to the nodes)")


@click.command()
@click.argument("release", type=_PATH)
@click.option("--site", type=_PATH, metavar="DIR", help="Where to publish; RELEASE/../site without it.")
@click.option("--key", "keys", type=_PATH, multiple=True, envvar="SWARMBOOT_KEY", metavar="FILE",
              help="Signing key; repeat it for a threshold of several. [env: SWARMBOOT_KEY]")  # fmt: skip
@click.option("--channel", default=DEFAULT_CHANNEL, show_default=True, help="Channel to point to the release.")
@click.option("--fleet", default="", help="Name of the fleet; the site's own without it.")
@click.option("--expires", metavar="DURATION", help="How long the release may be booted. [default: 365d]")
@click.option("--piece", metavar="SIZE", help="Piece length; chosen by size without it.")
@click.option("--trust", "trusted", type=_PATH, multiple=True, metavar="PUB",
              help="Public keys the nodes are built with: refuse to sign with too few of them.")  # fmt: skip
@click.option("--new-keys", is_flag=True, help="Sign with other keys than before: nodes are rebuilt with them.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
def publish(
    release: Path,
    site: Path | None,
    keys: tuple[Path, ...],
    channel: str,
    fleet: str,
    expires: str | None,
    piece: str | None,
    trusted: tuple[Path, ...],
    new_keys: bool,
    is_json: bool,
) -> None:
    """Publish the RELEASE directory as a signed, content-addressed site.

    \b
    Example:
      swarmboot publish release/
      swarmboot publish release/ --site /srv/site --key ~/fleet-keys/swarmboot.key
    """
    from seeder import publish as work
    from seeder.printout import published_lines, published_value
    from seeder.progress import choose_progress
    from seeder.release import read_release
    from seeder.site_writer import writing

    options = work.PublishOptions(
        channel=check_channel_name(channel),
        fleet=fleet,
        life_s=parse_duration(expires) if expires else None,
        piece_bytes=parse_size(piece) if piece else 0,
        trust=keyfile.read_trust(trusted) if trusted else None,
        has_new_keys=new_keys,
    )
    site = site or release.resolve().parent / "site"
    found = read_release(release)
    signing = _signing_keys(keys, site, is_quiet=is_json)
    progress = choose_progress("hashed", is_quiet=is_json)
    with writing(site) as writer:
        published = work.publish(
            found, signing, writer=writer, options=options, now_unix_s=time.time(), progress=progress
        )
    if is_json:
        click.echo(json.dumps(published_value(published, site=site)))
    else:
        click.echo("\n".join(published_lines(published, site=site)))


def _signing_keys(paths: tuple[Path, ...], site: Path, *, is_quiet: bool) -> list[Ed25519PrivateKey]:
    """Return the keys given, else the user's own, made now if this is the first time."""
    if not paths:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "swarmboot"
        private = folder / keyfile.PRIVATE_NAME
        if not private.exists():
            _, public = keyfile.write_pair(folder)
            click.echo(f"made a signing key, {private}; its public half, for the nodes, is {public}", err=is_quiet)
        paths = (private,)
    for path in paths:
        if path.resolve().is_relative_to(site.resolve()):
            raise KeyFileError(f"{path} lies in the site, which is public", hint="move it elsewhere, and replace it")
    return [keyfile.read_private(path) for path in paths]
