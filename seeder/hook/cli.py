"""The verb `swarmboot hook`: build the runtime, install the initramfs hook, build an initramfs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarmboot.errors import MalformedSettingError, ResourceError
from swarmboot.ids import MAX_SEQUENCE
from swarmboot.parameters import JSON
from swarmboot.verbs import Verbs

if TYPE_CHECKING:
    from seeder.hook.install import Bake

_PATH = click.Path(path_type=Path)
_SETTINGS_HEAD = """# Settings of a node

Made by `swarmboot hook settings` from the one table in `swarmboot/settings.py`. A flag goes over the environment, which
goes over the kernel command line, which goes over what `swarmboot hook install --default NAME=VALUE` has baked in. An
argument that is unknown or malformed is named on the console and stops the boot.

`swarmboot=0` on the kernel command line turns the initramfs hook off, whatever else stands there.
"""
WORTH = (
    "the initramfs will hold the fleet token: a secret on a disk with mode 0600, in a signed image over HTTPS or in a "
    "firmware's own store, and none where stage 0 is handed to anybody over plain HTTP"
)
RUNTIME = Path("/usr/lib/swarmboot/runtime.squashfs")


@click.group(cls=Verbs)
def hook() -> None:
    """Make machines boot by one kernel argument: the initramfs hook.

    \b
    Example:
      swarmboot hook install --initramfs-tools --trust fleet.pub --ca ca.pem
      swarmboot hook build-initramfs --kernel 6.1.0-13-amd64 --out initramfs.img --trust fleet.pub --ca ca.pem
    """


def _baked(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags that say what goes into the initramfs beside programs; the command is given them as one `bake`."""

    @wraps(command)
    def wrapped(**given: Any) -> None:
        command(bake=_bake(**{name: given.pop(name) for name in signature(_bake).parameters}), **given)

    for option in (
        click.option("--default", "defaults", multiple=True, metavar="NAME=VALUE",
                     help="Another default, as in server=https://10.0.0.1:8470; repeatable."),
        click.option("--floor", type=click.IntRange(min=0, max=MAX_SEQUENCE), default=0, show_default=True,
                     help="Lowest manifest number that nodes may boot."),
        click.option("--fleet", default="", metavar="NAME",
                     help="Boot this fleet's releases only.  [default: any that the keys have signed]"),
        click.option("--fleet-token", "token", type=_PATH, metavar="FILE",
                     help="The fleet's token, a secret: the initramfs is one too then."),
        click.option("--ca", "authority", type=_PATH, metavar="PEM",
                     help="Authority of the seeder's certificate. [default: the public ones known here]"),
        click.option("--trust", type=_PATH, multiple=True, required=True, metavar="PUB",
                     help="The fleet's public key file; repeatable."),
        click.option("--runtime", type=_PATH, metavar="IMAGE", help="The runtime image; built there if it is missing.  "
                     f"[default: the system's own, {RUNTIME}]"),
    ):  # fmt: skip
        wrapped = option(wrapped)
    return wrapped


def _bake(
    trust: tuple[Path, ...],
    authority: Path | None,
    floor: int,
    fleet: str,
    defaults: tuple[str, ...],
    token: Path | None,
) -> Bake:
    from seeder.hook.install import Bake, config_files

    pairs = [text.partition("=") for text in defaults]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise MalformedSettingError(f"--default {wrong[0]} has no value", expected="NAME=VALUE")
    baked = {name: value for name, _, value in pairs} | ({"fleet": fleet} if fleet else {})
    bake = Bake(trust, authority, floor, defaults=baked, token=token)
    config_files(bake)  # all of it is read before the minute that a runtime takes, and before anything is written
    return bake


@hook.command("build-runtime")
@click.option("--out", type=_PATH, default=RUNTIME, show_default=True, help="Where to write the image.")
@click.option("--from", "origin", type=click.Choice(["packages", "wheels"]), default="packages", show_default=True,
              help="Whose modules: the distribution's Python, or the Python that runs this.")  # fmt: skip
@click.option("--compression", type=click.Choice(["xz", "zstd"]), default="xz", show_default=True,
              help="xz is smaller, zstd unpacks faster.")  # fmt: skip
@JSON
def build_runtime(out: Path, origin: str, compression: str, is_json: bool) -> None:
    """Build and test the image that the leecher runs from.

    \b
    Example:
      swarmboot hook build-runtime
    """
    _build_runtime(out, origin, compression, say=_say(is_json))
    if is_json:
        libraries = out.with_suffix(".libraries")
        _print_json({"runtime": str(out), "libraries": str(libraries), "size_bytes": out.stat().st_size})


def _build_runtime(out: Path, origin: str = "packages", compression: str = "xz", *, say: Callable[[str], None]) -> None:
    from seeder.hook import runtime_image

    runtime_image.build_runtime(out, origin=origin, compression=compression, say=say)


def _say(is_json: bool) -> Callable[[str], None]:
    """Return where a verb's lines go: to standard error where standard output is JSON's."""
    return partial(click.echo, err=is_json)


def _print_json(values: object) -> None:
    click.echo(json.dumps(values))


@hook.command()
@click.option("--initramfs-tools", "has_initramfs_tools", is_flag=True, help="For Debian, Ubuntu and relatives.")
@click.option("--dracut", "has_dracut", is_flag=True, help="For Fedora, openSUSE, newer Ubuntu and relatives.")
@click.option("--root", type=_PATH, default=Path("/"), show_default=True, help="Folder to install under.")
@JSON
@_baked
def install(
    has_initramfs_tools: bool, has_dracut: bool, root: Path, is_json: bool, runtime: Path | None, bake: Bake
) -> None:
    """Put the hook where this distribution's initramfs generator finds it.

    \b
    Example:
      swarmboot hook install --initramfs-tools --trust fleet.pub --ca ca.pem
      update-initramfs -u
    """
    from seeder.hook import install

    if not has_initramfs_tools and not has_dracut:
        raise MalformedSettingError(
            "no initramfs generator is named", expected="--initramfs-tools or --dracut, or both", found="neither"
        )
    say = _say(is_json)
    _install_code(root, runtime or install.runtime_under(root), say=say)
    install.install_config(root, bake)
    places: dict[str, str] = {}
    if has_initramfs_tools:
        install.install_initramfs_tools(root)
        places[str(root / install.INITRAMFS_TOOLS)] = "update-initramfs -u"
    if has_dracut:
        install.install_dracut(root)
        places[str(root / install.DRACUT)] = "dracut --force"
    for place, command in places.items():
        say(f"installed in {place}; now run: {command}")
    if bake.token is not None:
        say(WORTH)
    if is_json:
        _print_json({"installed": list(places), "next": list(places.values()), "is_secret": bake.token is not None})


def _install_code(root: Path, runtime: Path, *, say: Callable[[str], None]) -> None:
    """Install the code; a runtime image that is built for it is gone again if it does not fit, or all has no room."""
    from seeder.hook import fit, install

    if runtime.exists():
        install.install_code(root, runtime)
        return
    fit.check_same_machine(root)
    folders = [folder for folder in runtime.parents if not folder.exists()]
    _build_runtime(runtime, say=say)
    try:
        install.install_code(root, runtime)
    except ResourceError:
        for path in (runtime, runtime.with_suffix(".libraries")):
            path.unlink()
        with suppress(OSError):  # a folder that is in use stays
            for folder in folders:
                folder.rmdir()
        raise


@hook.command("build-initramfs")
@click.option("--kernel", required=True, metavar="VERSION", help="Kernel version, as under /lib/modules.")
@click.option("--out", type=_PATH, required=True, metavar="FILE", help="Where to write the initramfs.")
@click.option("--generator", type=click.Choice(["initramfs-tools", "dracut"]), default="initramfs-tools",
              show_default=True, help="Whose program builds it.")  # fmt: skip
@click.option("--inside", "tree", type=_PATH, metavar="TREE",
              help="Build by the programs of the system in this folder; --runtime is in it too.")  # fmt: skip
@click.option("--modules", type=_PATH, metavar="FOLDER",
              help="Take modules from (usr/)lib/modules in it, as of a kernel that is not installed here.")  # fmt: skip
@click.option("--lean", "is_lean", is_flag=True,
              help="Leave out what no boot from the network needs: disks, file systems, graphics.")  # fmt: skip
@click.option("--nics", type=_PATH, metavar="FILE",
              help="With --lean, drivers of these cards only: module names or modaliases, a line each.")  # fmt: skip
@click.option("--quick", "is_quick", is_flag=True,
              help="With --lean, pack it less tightly, for trying things out: built sooner, and larger.")  # fmt: skip
@JSON
@_baked
def build_initramfs(
    kernel: str, out: Path, generator: str, tree: Path | None, modules: Path | None, is_json: bool,
    runtime: Path | None, is_lean: bool, is_quick: bool, nics: Path | None, bake: Bake,
) -> None:  # fmt: skip
    """Build an initramfs for the fleet; this machine's own stays as it is.

    \b
    Example:
      swarmboot hook build-initramfs --lean --kernel 6.1.0-13-amd64 --out initramfs.img --trust fleet.pub --ca ca.pem
      swarmboot hook build-initramfs --inside arm64/ --kernel 6.12.57+deb13-arm64 --out arm64.img --trust fleet.pub
    """
    from seeder.hook import build_initramfs, inside
    from seeder.initramfs.card_list import read_card_list

    for flag, is_given in (("--nics", nics is not None), ("--quick", is_quick)):
        if is_given and not is_lean:
            raise MalformedSettingError(f"{flag} goes with --lean", expected="--lean as well", found="none")
    if modules is not None and tree is not None:
        raise MalformedSettingError("--modules and --inside do not go together", expected="one of them", found="both")
    cards = read_card_list(nics) if nics is not None else None
    leanness = build_initramfs.Leanness(cards, is_quick=is_quick) if is_lean else None
    runtime, say = runtime or RUNTIME, _say(is_json)
    if tree is not None:
        lean = inside.build_inside(
            tree, out, kernel=kernel, generator=generator, runtime=runtime, bake=bake, say=say, leanness=leanness
        )
    else:
        build_initramfs.check_machine(kernel, generator, leanness, modules)
        if not runtime.exists():
            _build_runtime(runtime, say=say)
        if bake.token is not None:
            say(WORTH)
        made = build_initramfs.build_initramfs(
            out, kernel=kernel, generator=generator, runtime=runtime, bake=bake, say=say, leanness=leanness,
            modules=modules,
        )  # fmt: skip
        lean = made.value() if made is not None else None
    if is_json:
        facts = {"initramfs": str(out), "size_bytes": out.stat().st_size, "kernel": kernel, "generator": generator}
        _print_json({**facts, "is_secret": bake.token is not None, "lean": lean})


@hook.command("inspect")
@click.argument("image", type=_PATH)
@JSON
def inspect(image: Path, is_json: bool) -> None:
    """Print what takes the room in an initramfs, by group, as a Markdown table.

    \b
    Example:
      swarmboot hook inspect initramfs.img
    """
    from seeder.initramfs import sizes

    found, whole_bytes = sizes.shares(image), image.stat().st_size
    if is_json:
        groups = [share.value() for share in found]
        _print_json({"image": str(image), "size_bytes": whole_bytes, "groups": groups})
        return
    for line in sizes.table(found, whole_bytes=whole_bytes):
        click.echo(line)


@hook.command("settings")
@JSON
def show_settings(is_json: bool) -> None:
    """Print every kernel argument, as the page docs/settings.md.

    \b
    Example:
      swarmboot hook settings >docs/settings.md
    """
    from seeder.hook.settings_page import describe
    from swarmboot.settings import TABLE

    if is_json:
        names = ("argument", "environment", "flag", "default", "help", "example")
        _print_json({"settings": [{name: getattr(setting, name) for name in names} for setting in TABLE]})
    else:
        click.echo(f"{_SETTINGS_HEAD}\n{describe()}", nl=False)
