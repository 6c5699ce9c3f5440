"""The verb `swarmboot canary`: a part of the fleet boots another channel first. No work is here."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seeder.handles.cli import signing_of, signs
from swarmboot import completion
from swarmboot.parameters import JSON
from swarmboot.printable import printable
from swarmboot.release.layout import DEFAULT_CHANNEL, check_channel_name, check_site
from swarmboot.verbs import Verbs

if TYPE_CHECKING:
    from swarmboot.release.canary import Canary

_PATH = click.Path(path_type=Path)
_MANY_BOOTS = 1000


@click.group(cls=Verbs)
def canary() -> None:
    """Have some machines boot another channel first, kernel and initramfs included.

    \b
    Example:
      swarmboot publish release/ --channel edge
      swarmboot canary set site/ edge --share 5%
      swarmboot canary show site/
      swarmboot promote site/ edge stable
    """


@canary.command("set")
@click.argument("site", type=_PATH)
@click.argument("source", metavar="CHANNEL", shell_complete=completion.channels)
@click.option("--share", metavar="PERCENT", help="So many of the machines, as in 5%: always the same ones.")
@click.option("--rack", "racks", multiple=True, metavar="RACK", help="The machines of a rack; repeatable.")
@click.option("--mac", "macs", multiple=True, metavar="MAC", help="A machine, or several by * and ?; repeatable.")
@signs
@JSON
def set_(
    site: Path, source: str, share: str | None, racks: tuple[str, ...], macs: tuple[str, ...], keys: tuple[Path, ...],
    trust: tuple[Path, ...], pointer_life_s: float | None, is_json: bool,
) -> None:  # fmt: skip
    """Have machines of SITE boot CHANNEL in place of stable; one option that fits is enough.

    Takes the place of the canary before. `promote CHANNEL stable` ends it, and so does `canary clear`.

    \b
    Example:
      swarmboot canary set site/ edge --share 5% --rack r1
      swarmboot canary set site/ edge --mac 52:54:00:12:34:56 --mac '52:54:00:77:*'
    """
    from seeder.handles.canary import chosen, parse_share, set_canary
    from seeder.site.writer import writing

    check_channel_name(source)
    who = chosen(share_ppm=parse_share(share) if share is not None else 0, racks=racks, macs=macs)
    signing = signing_of(site, keys, trust, pointer_life_s)
    with writing(check_site(site)) as writer:
        done = set_canary(writer, signing, who, source=source, channel=DEFAULT_CHANNEL, now_unix_s=time.time())
    found, others = done.manifest, done.others
    line = (
        f"{done.canary.who}: channel {source}, manifest {found.sequence} ({found.name}); "
        f"the others: {DEFAULT_CHANNEL}, manifest {others.sequence} ({others.name})"
    )
    _print(
        [line if done.is_new else f"nothing changed: {line}"], {**_value(done.canary), "is_new": done.is_new}, is_json
    )


@canary.command()
@click.argument("site", type=_PATH)
@click.option(
    "--server", default="", metavar="URL", help="The running seeder to ask for boots; this machine's without."
)
@click.option("--ca", type=_PATH, metavar="FILE", help="The server's ca.pem.")
@click.option("--token-file", type=_PATH, metavar="FILE", help="What serve has as --ui-token.")
@click.option("--state", type=_PATH, metavar="DIR", help="State folder of a seeder on this machine.")
@JSON
def show(site: Path, server: str, ca: Path | None, token_file: Path | None, state: Path | None, is_json: bool) -> None:
    """Say who the canary of SITE is, and how its boots went beside the others'.

    Of the last 1,000 boots those since it was set are counted.

    \b
    Example:
      swarmboot canary show site/
    """
    from seeder.handles.canary_boots import fitting, lines, tallies, value
    from seeder.handles.nodes import boots_and_nodes
    from seeder.site.canaries import read_canary

    found = read_canary(check_site(site), DEFAULT_CHANNEL, None)
    if found is None:
        _print(["there is no canary: all machines boot stable"], {"canary": None}, is_json)
        return
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.issued_unix_s))
    said = [f"{found.who}: channel {found.source} in place of {found.channel}, since {since}"]
    heard = boots_and_nodes(server=server, ca=ca, token_file=token_file, state=state, most=_MANY_BOOTS)
    if heard is None:
        said.append("no seeder and no record of boots here: name one with --server or --state")
        _print(said, {"canary": _value(found), "boots": None}, is_json)
        return
    tally, fits = tallies(found, *heard), fitting(found, heard[1])
    boots = {found.source: value(tally[0]), found.channel: value(tally[1])}
    told = {"canary": _value(found), "boots": boots, "machines": {"canary": fits[0], "known": fits[1]}}
    _print([*said, *lines(found, tally, fits)], told, is_json)


@canary.command()
@click.argument("site", type=_PATH)
@JSON
def clear(site: Path, is_json: bool) -> None:
    """End the canary of SITE: from their next boot on all machines boot stable. It needs no key.

    \b
    Example:
      swarmboot canary clear site/
    """
    from seeder.site.canaries import end_canary
    from seeder.site.writer import writing

    with writing(check_site(site)) as writer:
        was_there = end_canary(writer, DEFAULT_CHANNEL)
    said = "the canary is over: all machines boot stable from now on"
    _print([said if was_there else "nothing changed: there is no canary"], {"is_new": was_there}, is_json)


def _value(found: Canary) -> dict[str, Any]:
    return {
        "channel": found.source, "in_place_of": found.channel, "share_percent": found.share_ppm / 10_000,
        "racks": list(found.racks), "macs": list(found.macs), "issued_unix_s": found.issued_unix_s,
    }  # fmt: skip


def _print(said: list[str], value: dict[str, Any], is_json: bool) -> None:
    click.echo(json.dumps(value) if is_json else "\n".join(map(printable, said)))
