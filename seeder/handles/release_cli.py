"""The verb `swarmboot release`: makes release directories, and says what lies between two published ones."""

from __future__ import annotations

import json
import shlex
from functools import partial
from pathlib import Path

import click

from swarmboot import completion
from swarmboot.parameters import JSON
from swarmboot.printable import printable
from swarmboot.verbs import Verbs

_PATH = click.Path(path_type=Path)


@click.group(cls=Verbs)
def release() -> None:
    """Make release directories, and compare published ones.

    \b
    Example:
      swarmboot release init release/
      swarmboot release diff site/ stable edge
      swarmboot release import coinboot/server/
    """


@release.command("import")
@click.argument("system", type=_PATH)
@click.option("--out", type=_PATH, metavar="DIR", help="The release directory; SYSTEM.release beside SYSTEM without.")
@click.option("--trust", type=_PATH, multiple=True, metavar="PUB",
              help="Public keys for the initramfs; your own signing key's without it.")  # fmt: skip
@click.option("--ca", type=_PATH, metavar="PEM",
              help="The seeder's authority; this machine's own without it, made if need be.")  # fmt: skip
@click.option("--runtime", type=_PATH, metavar="IMAGE", help="The runtime image; built there if it is missing.")
@click.option("--no-initramfs", is_flag=True, help="Build none, and say by which command it is built.")
@JSON
def import_(
    system: Path, out: Path | None, trust: tuple[Path, ...], ca: Path | None, runtime: Path | None, no_initramfs: bool,
    is_json: bool,
) -> None:  # fmt: skip
    """Make a release directory of another SYSTEM, as it is: Coinboot's server folder, or a Debian Live image.

    A live image is a netboot.tar, an ISO, or a folder of either. Our initramfs is built with the root's own kernel
    modules, and settings are data that is never run. `swarmboot publish SYSTEM` does the same and publishes it.

    \b
    Example:
      swarmboot release import coinboot/server/ --out release/
      swarmboot release import live-image-amd64.netboot.tar --out release/
      swarmboot publish release/
    """
    from seeder.publish.initramfs_wanted import wanted
    from seeder.publish.keys_at_hand import signing_keys
    from seeder.publish.known_systems import known_system, nothing_known

    say = partial(click.echo, err=is_json)
    known = known_system(system)
    if known is None:
        raise nothing_known(system)
    keys = [] if trust or no_initramfs else signing_keys((), system, is_quiet=is_json)
    initramfs = None if no_initramfs else wanted(trust, keys, ca, runtime)
    _, facts = known.take_over(system, out, initramfs, is_kept=False, say=say)
    if is_json:
        click.echo(json.dumps(facts))


@release.command()
@click.argument("site", type=_PATH)
@click.argument("old", metavar="A", shell_complete=completion.channels_and_releases)
@click.argument("new", metavar="B", shell_complete=completion.channels_and_releases)
@JSON
def diff(site: Path, old: str, new: str, is_json: bool) -> None:
    """Say what changes in SITE from release A to B, numbers or channels, and how many bytes it costs a node.

    \b
    Example:
      swarmboot release diff site/ 12 13
      swarmboot release diff site/ stable edge
    """
    from seeder.handles.difference import compare, lines, value
    from seeder.handles.find import chunks_of, layers_of, numbered
    from seeder.site.reader import read_unbelieved

    before, after = numbered(site, old), numbered(site, new)
    manifests = read_unbelieved(site, before), read_unbelieved(site, after)
    found = compare(*manifests, partial(layers_of, site), partial(chunks_of, site))
    if is_json:
        click.echo(json.dumps({"old": before, "new": after, **value(found)}))
    else:
        click.echo("\n".join(map(printable, lines(found, old=old, new=new))))


@release.command()
@click.argument("folder", type=_PATH)
@JSON
def init(folder: Path, is_json: bool) -> None:
    """Make an empty release directory, with what goes where written into it.

    \b
    Example:
      swarmboot release init release/
    """
    from seeder.handles.skeleton import NEXT, make

    made = [str(path) for path in make(folder)]
    if is_json:
        click.echo(json.dumps({"release": str(folder), "made": made}))
    else:
        click.echo(
            "\n".join(
                map(printable, [*(f"made {path}" for path in made), NEXT.format(folder=shlex.quote(str(folder)))])
            )
        )
