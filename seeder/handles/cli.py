"""The verbs `swarmboot releases`, `rollback`, `promote` and `pin`: releases by name and number. No work is here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarmboot import completion
from swarmboot.ids import MAX_SEQUENCE, Sequence
from swarmboot.parameters import JSON, duration
from swarmboot.printable import printable
from swarmboot.release import key_files
from swarmboot.release.layout import DEFAULT_CHANNEL, check_channel_name, check_site

if TYPE_CHECKING:
    from seeder.handles.change import Moved, Signing

_PATH = click.Path(path_type=Path)
_NUMBER = click.IntRange(1, MAX_SEQUENCE)


def signs(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a command that signs."""
    for option in (
        click.option("--pointer-expires", "pointer_life_s", type=duration(1, "from 1s to 36500d"), metavar="DURATION",
                     help="How long nodes may take this for the newest."),
        click.option("--trust", type=_PATH, multiple=True, metavar="PUB",
                     help="Public keys the nodes are built with: as many must have signed, and sign now."),
        click.option("--key", "keys", type=_PATH, multiple=True, envvar="SWARMBOOT_KEY", metavar="FILE",
                     help="Signing key; repeat it to sign with several.  [env: SWARMBOOT_KEY]"),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.argument("site", type=_PATH)
@click.option(
    "--server", default="", metavar="URL", help="The running seeder to ask for nodes; this machine's without."
)
@click.option("--ca", type=_PATH, metavar="FILE", help="The server's ca.pem.")
@click.option("--token-file", type=_PATH, metavar="FILE", help="What serve has as --ui-token.")
@click.option("--state", type=_PATH, metavar="DIR", help="State folder of a seeder on this machine.")
@JSON
def releases(
    site: Path, server: str, ca: Path | None, token_file: Path | None, state: Path | None, is_json: bool
) -> None:
    """List the releases of a SITE, the newest first, and how many nodes are on each.

    \b
    Example:
      swarmboot releases site/
    """
    from seeder.handles.listing import lines, read_listing, value
    from seeder.handles.nodes import nodes_by_release

    listing = read_listing(site, nodes_by_release(server=server, ca=ca, token_file=token_file, state=state))
    _print(lines(listing), value(listing), is_json=is_json)


@click.command()
@click.argument("site", type=_PATH)
@click.option("--channel", default=DEFAULT_CHANNEL, show_default=True, help="Channel to take back.",
              shell_complete=completion.channels)  # fmt: skip
@click.option("--to", type=_NUMBER, metavar="N", help="Release to go back to; the one before without it.",
              shell_complete=completion.releases)  # fmt: skip
@signs
@JSON
def rollback(
    site: Path, channel: str, to: int | None, keys: tuple[Path, ...], trust: tuple[Path, ...],
    pointer_life_s: float | None, is_json: bool,
) -> None:  # fmt: skip
    """Have a channel of SITE go back to an older release, issued anew under the next number.

    No node takes a lower number than it has seen, so the old release comes back as the newest.

    \b
    Example:
      swarmboot rollback site/
      swarmboot rollback site/ --channel edge --to 12 --key ~/fleet-keys/swarmboot.key
    """
    from seeder.handles.change import roll_back
    from seeder.site.writer import writing

    check_channel_name(channel)
    signing = signing_of(site, keys, trust, pointer_life_s)
    number = None if to is None else Sequence(to)
    with writing(check_site(site)) as writer:
        moved = roll_back(writer, signing, channel=channel, to=number, now_unix_s=time.time())
    _print_moved(moved, is_json=is_json)


@click.command()
@click.argument("site", type=_PATH)
@click.argument("source", metavar="FROM", shell_complete=completion.channels)
@click.argument("target", metavar="TO", shell_complete=completion.channels)
@signs
@JSON
def promote(
    site: Path, source: str, target: str, keys: tuple[Path, ...], trust: tuple[Path, ...],
    pointer_life_s: float | None, is_json: bool,
) -> None:  # fmt: skip
    """Point the channel TO of SITE to the release that the channel FROM has.

    \b
    Example:
      swarmboot publish release/ --channel edge
      swarmboot promote site/ edge stable
    """
    from seeder.handles.change import promote as work
    from seeder.site.writer import writing

    for name in (source, target):
        check_channel_name(name)
    signing = signing_of(site, keys, trust, pointer_life_s)
    with writing(check_site(site)) as writer:
        moved = work(writer, signing, source=source, target=target, now_unix_s=time.time())
    _print_moved(moved, is_json=is_json)


@click.command()
@click.argument("site", type=_PATH)
@click.argument("numbers", type=_NUMBER, nargs=-1, required=True, metavar="NUMBER...",
                shell_complete=completion.releases)  # fmt: skip
@click.option("--remove", "is_removed", is_flag=True, help="Let prune drop it again.")
@JSON
def pin(site: Path, numbers: tuple[int, ...], is_removed: bool, is_json: bool) -> None:
    """Have prune keep releases of SITE, whatever else it drops, so that rollback can go back to them.

    \b
    Example:
      swarmboot pin site/ 12
      swarmboot pin site/ 12 --remove
    """
    from seeder.site.pins import pin as work
    from seeder.site.writer import writing

    with writing(check_site(site)) as writer:
        pins = work(writer, [Sequence(number) for number in numbers], is_removed=is_removed)
    said = f"kept whatever prune drops: {', '.join(map(str, pins)) or 'none'}"
    _print([said], {"pinned": list(pins)}, is_json=is_json)


def signing_of(site: Path, keys: tuple[Path, ...], trusted: tuple[Path, ...], life_s: float | None) -> Signing:
    """Return who signs; raise KeyFileError if there is no key."""
    from seeder.handles.change import Signing
    from seeder.publish.keys_at_hand import known_keys

    check_site(site)
    return Signing(known_keys(keys, site), key_files.read_trust(trusted) if trusted else None, life_s)


def _print_moved(moved: Moved, *, is_json: bool) -> None:
    manifest = moved.manifest
    what = f"channel {moved.channel} has {manifest.name} as manifest {manifest.sequence}"
    origin = f", which is release {moved.origin}" if moved.origin != manifest.sequence else ""
    line = f"{what}{origin}" if moved.is_new else f"nothing changed: {what}"
    line += f"; the canary ({moved.canary}) is over" if moved.canary else ""
    value = {
        "channel": moved.channel,
        "name": manifest.name,
        "sequence": manifest.sequence,
        "origin": moved.origin,
        "is_new": moved.is_new,
        "canary_ended": moved.canary,
    }
    _print([line], value, is_json=is_json)


def _print(lines: list[str], value: dict[str, Any], *, is_json: bool) -> None:
    click.echo(json.dumps(value) if is_json else "\n".join(map(printable, lines)))
