"""`swarmboot plugin`: make, import, show. Click and words only; the work is elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swarmboot.errors import MalformedSettingError
from swarmboot.parameters import JSON, duration
from swarmboot.printable import printable
from swarmboot.text.units import format_size
from swarmboot.verbs import Verbs

if TYPE_CHECKING:
    from seeder.plugin.make import Made

_PATH = click.Path(path_type=Path)
_BOUND = duration(1, "1s or longer")


@click.group(cls=Verbs)
def plugin() -> None:
    """Make plugins for a release, take over those of others, look into one.

    \b
    Example:
      swarmboot plugin make nginx.sh release/
      swarmboot plugin show release/plugins/nginx.squashfs --against release/
    """


@plugin.command("make")
@click.argument("paths", nargs=-1, type=_PATH, required=True, metavar="[RECIPE] RELEASE")
@click.option("--shell", "is_shell", is_flag=True, help="Give you a shell in place of a RECIPE; leave it by `exit`.")
@click.option("--output", type=_PATH, metavar="FILE",
              help="What to write: .squashfs, .tar.gz, .tar.zst.  [default: plugins/ in RELEASE]")  # fmt: skip
@click.option("--timeout", "bound_s", type=_BOUND, default="1h", show_default=True, metavar="DURATION",
              help="How long RECIPE may take.")  # fmt: skip
@JSON
def make(paths: tuple[Path, ...], is_shell: bool, output: Path | None, bound_s: float, is_json: bool) -> None:
    """Run RECIPE over the root image of RELEASE and pack what it changes.

    RECIPE is a script, or a YAML file as Coinboot has them; RELEASE is a release's folder, or a root image. It runs as
    root over an overlay, in namespaces of its own, with the host's network; its folder is at /mnt. What it deletes is
    deleted on nodes too; caches, logs, machine ids and host keys are left out. The same input makes the same bytes.

    \b
    Example:
      swarmboot plugin make nginx.sh release/
      swarmboot plugin make --shell release/ --output release/plugins/50-by-hand.squashfs
    """
    from seeder.plugin import make as work
    from seeder.plugin.recipe import Recipe, read_recipe

    if len(paths) != 2 - is_shell:
        raise MalformedSettingError(
            f"`plugin make{' --shell' if is_shell else ''}` takes {'RELEASE' if is_shell else 'RECIPE and RELEASE'}",
            expected="one path" if is_shell else "two paths", found=str(len(paths)),
        )  # fmt: skip
    recipe = Recipe("by-hand", "", Path.cwd()) if is_shell else read_recipe(paths[0])
    made = work.make(recipe, paths[-1], output, is_shell=is_shell, bound_s=bound_s)
    _print_made(made, paths[-1], about=recipe.about, is_json=is_json)


def _print_made(made: Made, over: Path | None, *, about: dict[str, str], is_json: bool) -> None:
    from seeder.plugin.contents import read_plugin
    from seeder.plugin.root_image import read_root

    found = read_plugin(made.path, read_root(over) if over else None)
    if is_json:
        facts = {"recipe": about, "left_out": dict(made.left_out), "notes": list(made.notes)}
        click.echo(json.dumps({**found.value(), **facts}))
        return
    left = ", ".join(f"{count} {what}" for what, count in sorted(made.left_out.items()))
    lines = [*found.lines(), *([f"left out: {left}"] if left else []), *(f"note: {note}" for note in made.notes)]
    lines.append(f"plugin: {made.path}, {format_size(made.path.stat().st_size)}")
    for line in lines:
        click.echo(printable(line))


@plugin.command("import")
@click.argument("source", type=_PATH)
@click.option("--against", type=_PATH, metavar="RELEASE", help="The release, or root image, that it goes over.")
@click.option("--output", type=_PATH, metavar="FILE",
              help="What to write.  [default: plugins/NAME.squashfs of RELEASE, NAME.tar.gz without one]")  # fmt: skip
@JSON
def import_(source: Path, against: Path | None, output: Path | None, is_json: bool) -> None:
    """Take a plugin over that was made elsewhere: Coinboot's, a tar, a squashfs, an overlay's upper folder.

    SOURCE is packed again as nodes take it: absolute names, whiteouts of containers, what overlays made without root
    say by attributes. What cannot be taken over whole is refused, with a reason. With --against it becomes a squashfs,
    what folders replace is taken away, and Coinboot's list of packages is merged into the root's.

    \b
    Example:
      swarmboot plugin import coinboot_telegraf_v1.18.1.tar.gz --against release/
      swarmboot plugin import upper/ --output 20-mine.tar.gz
    """
    from seeder.plugin.root_image import read_root
    from seeder.plugin.take_over import take_over

    made = take_over(source, output, read_root(against) if against else None)
    _print_made(made, against, about={}, is_json=is_json)


@plugin.command("show")
@click.argument("file", type=_PATH)
@click.option("--against", type=_PATH, metavar="RELEASE", help="Say what it does to this release, or root image.")
@JSON
def show(file: Path, against: Path | None, is_json: bool) -> None:
    """Say what is in a plugin: files, size, setuid files and devices, what it deletes.

    With --against it says as well what of the root it hides, where it conflicts with the release's other plugins, and
    what `publish` would say of it.

    \b
    Example:
      swarmboot plugin show release/plugins/nginx.squashfs --against release/
    """
    from seeder.plugin.contents import read_plugin
    from seeder.plugin.root_image import read_root

    found = read_plugin(file, read_root(against) if against else None)
    for line in [json.dumps(found.value())] if is_json else map(printable, found.lines()):
        click.echo(line)
