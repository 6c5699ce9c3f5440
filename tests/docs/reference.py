"""Pages that are made from the code: commands with their help, exit statuses, figures."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click
from prometheus_client import Metric

from seeder.boot_script.load import Stage0Trust
from seeder.http.crowd import Crowd
from seeder.log import Log
from seeder.monitoring.current import Counted, Current
from seeder.monitoring.meters import Meters
from seeder.policy.facts.registry import Registry
from seeder.policy.stage0_queue import Stage0Queue
from seeder.site.catalogue import Catalogue
from seeder.stage0.app import Stage0App, Stage0Config
from swarmboot import errors
from swarmboot.cli import swarmboot

_WIDTH = 90


def pages() -> dict[str, str]:
    """Return the pages by the name that they are staged under."""
    return {
        "reference/commands.md": "\n".join(_commands()),
        "reference/statuses.md": "\n".join(_statuses()),
        "reference/metrics.md": "\n".join(_metrics()),
    }


def _commands() -> Iterator[str]:
    yield "# Commands\n"
    yield "Each with the help that `--help` prints.\n"
    for command, context in _walk(swarmboot, click.Context(swarmboot, info_name="swarmboot", terminal_width=_WIDTH)):
        path = context.command_path
        yield f"{'#' * len(path.split())} {path}\n"
        yield f"```text\n{command.get_help(context)}\n```\n"


def _walk(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield a command and those below it, each with its context."""
    if context.parent is not None:
        yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                below = click.Context(child, info_name=name, parent=context, terminal_width=_WIDTH)
                yield from _walk(child, below)


def _statuses() -> Iterator[str]:
    yield "# Exit statuses\n"
    yield "An error is one line and an exit status of its own. 0 is success, 2 a command line that click refuses.\n"
    yield from (line.strip() for line in (errors.__doc__ or "").splitlines() if line.startswith("|"))
    yield "\n| status | error | |"
    yield "|---|---|---|"
    found = {kind.exit_status: kind for kind in reversed(list(_below(errors.SwarmbootError)))}
    for status, kind in sorted(found.items()):
        words = " ".join((inspect.getdoc(kind) or "").split()).replace("|", "\\|")
        yield f"| {status} | `{kind.__name__}` | {words} |"


def _below(kind: type[errors.SwarmbootError]) -> Iterator[type[errors.SwarmbootError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _below(each)


def _metrics() -> Iterator[str]:
    yield "# Figures\n"
    yield "What the seeder serves at `/metrics` ([monitoring](../docs/monitoring.md) says what to watch).\n"
    yield "| figure | kind | labels | |"
    yield "|---|---|---|---|"
    for metric in sorted(_served(), key=lambda each: each.name):
        labels = sorted({name for sample in metric.samples for name in sample.labels} - {"le"})
        name = metric.name + ("_total" if metric.type == "counter" else "")
        shown = ", ".join(f"`{label}`" for label in labels)
        yield f"| `{name}` | {metric.type} | {shown} | {metric.documentation} |"


def _served() -> Iterator[Metric]:
    """Yield every figure of a seeder that has just been started, with stage 0."""
    registry, site = Registry(), Path("none")
    catalogue = Catalogue(site, registry)
    queue = Stage0Queue(registry, trust=Stage0Trust.LAN, uplink_bytes_per_s=1.0)
    stage0 = Stage0App(queue, catalogue, Stage0Config(site=site), Log())
    yield from Meters().collectors.collect()
    yield from Current(registry, catalogue, Crowd(1), 1.0, Counted, stage0).collect()
