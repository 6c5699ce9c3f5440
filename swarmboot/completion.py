"""What shells complete that only a site can tell: its channels, and the numbers of its releases.

For `shell_complete=` of an option or argument of a verb that takes SITE, or RELEASE with the site beside it. Files are
listed and not read: what is completed is no promise that the verb takes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swarmboot.release.layout import MANIFEST_NAME, is_channel_name

if TYPE_CHECKING:
    import click


def channels(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the channels of the verb's site that a word may become."""
    names = (path.stem for path in _site(ctx).glob("channels/*.swarm"))
    return sorted(name for name in names if is_channel_name(name) and name.startswith(incomplete))


def releases(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the numbers of the site's releases that a word may become, the newest first."""
    numbers = (path.stem for path in _site(ctx).glob("manifests/*.swarm") if MANIFEST_NAME.match(path.name))
    return sorted((number for number in numbers if number.startswith(incomplete)), key=int, reverse=True)


def channels_and_releases(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return both."""
    return [*channels(ctx, param, incomplete), *releases(ctx, param, incomplete)]


def _site(ctx: click.Context) -> Path:
    """Return the folder that the words before name, or the one that the verb would take without."""
    first = ctx.command.params[0].name or ""
    values = {first: next(iter(ctx.args), None)}  # where click leaves it while an option after it lacks its value
    values |= {name: value for name, value in ctx.params.items() if value}
    named, release = values.get("site"), values.get("release")
    return Path(named) if named else Path(release).parent / "site" if release else Path("site")
