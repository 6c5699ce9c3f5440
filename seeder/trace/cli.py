"""The verb `swarmboot trace`: what boots have read of their images. Click and words only."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from swarmboot.host.files import write_whole
from swarmboot.parameters import JSON, duration
from swarmboot.printable import printable
from swarmboot.verbs import Verbs

_PATH = click.Path(path_type=Path)
_STATE = click.option("--state", type=_PATH, metavar="DIR", help="The seeder's state folder; its usual one without it.")
_OUTPUT = click.option("--output", type=_PATH, metavar="FILE", help="Where to write it; standard output without it.")


@click.group(cls=Verbs)
def trace() -> None:
    """Say what a boot reads of its images: for `publish --trace`.

    \b
    Example:
      swarmboot trace export site/ --output trace
      swarmboot publish release/ --trace trace --sort
    """


def _state(given: Path | None) -> Path:
    from seeder.record.place import state_folder

    return given or state_folder()


@trace.command("list")
@_STATE
@JSON
def list_(state: Path | None, is_json: bool) -> None:
    """List the manifests of which nodes have handed in what their boot has read (`swarmboot.trace=on`).

    \b
    Example:
      swarmboot trace list
    """
    from seeder.serve.node_traces import kept

    numbers = kept(_state(state))
    if is_json:
        print(json.dumps({"manifests": numbers}))
        return
    for number in numbers:
        print(f"manifest {number}")
    if not numbers:
        print("swarmboot: no node has handed in a trace", file=sys.stderr)


@trace.command()
@click.argument("site", type=_PATH)
@_STATE
@click.option("--manifest", type=click.IntRange(min=1), help="Of which manifest; the newest there is one of, without.")
@_OUTPUT
@JSON
def export(site: Path, state: Path | None, manifest: int | None, output: Path | None, is_json: bool) -> None:
    """Write what a node has handed in as a trace that names files of SITE's images.

    A node is believed in nothing but this order: look at it, and publish with it or not.

    \b
    Example:
      swarmboot trace export site/ --output trace
    """
    from seeder.trace.export import export as work
    from swarmboot.release.layout import check_site

    check_site(site)
    text, said = work(_state(state), site, manifest or 0)
    _write(text, said, output, is_json=is_json)


@trace.command()
@click.argument("release", type=_PATH)
@_OUTPUT
@click.option("--within", "within_s", type=duration(1, "1s or longer"), default="20m", show_default=True,
              metavar="TIME", help="How long its boot may take; without KVM it takes minutes.")  # fmt: skip
@click.option("--memory", "memory_mib", type=click.IntRange(min=0), default=0, metavar="MIB",
              help="The machine's memory in MiB; by the size of the images without it.")  # fmt: skip
@click.option("--profile", default="", metavar="NAME", help="Boot it as a machine of this profile.")
@JSON
def record(release: Path, output: Path | None, within_s: float, memory_mib: int, profile: str, is_json: bool) -> None:
    """Boot the RELEASE directory once, in QEMU, and write what it has read as a trace that names files.

    Its kernel and initramfs are in it, the initramfs with the hook and `--default lazy=on`. The machine reaches nothing
    but a seeder of its own; secret settings are left out. Needs qemu-system-x86_64, and no root.

    \b
    Example:
      swarmboot trace record release/ --output trace
      swarmboot publish release/ --trace trace --sort
    """
    from seeder.trace.record import Recording
    from seeder.trace.record import record as work

    def tell(line: str) -> None:
        print(f"swarmboot: {printable(line)}", file=sys.stderr)

    text, said = work(release, Recording(within_s, memory_mib, profile), tell=tell)
    _write(text, said, output, is_json=is_json)


def _write(text: str, said: list[str], output: Path | None, *, is_json: bool) -> None:
    for line in said:
        print(f"swarmboot: {printable(line)}", file=sys.stderr)
    if output is not None:
        write_whole(output, text.encode(), mode=0o644)
    count = text.count("\n") - 1
    if is_json:
        print(json.dumps({"reads": count, "output": str(output or ""), **({} if output else {"trace": text})}))
    elif output is None:
        print(text, end="")
    else:
        print(f"{output}: {count} reads")
