"""The verbs `swarmboot lab run` and `swarmboot lab compare`: arguments in, a table or JSON out."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from netsim.lab.chaos.cli import chaos, soak
from netsim.lab.rack.plan import CACHE, LAZY, STAGE0, Casualty, LabPlan, parse_casualty
from netsim.lab.rack.signals import stopped_by_signals
from netsim.lab.run.progress import watching
from netsim.lab.run.result import table_of
from swarmboot.errors import SwarmbootError
from swarmboot.parameters import DURATION, RATE, SIZE, Parsed
from swarmboot.verbs import Verbs

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsim.lab.run.result import LabResult

CASUALTY = Parsed("node:seconds", parse_casualty)
COMPARED = ("swarmboot", "https", "libtorrent", "aria2", "udpcast")
NAMES = (*COMPARED, LAZY, CACHE, STAGE0)


_OPTIONS = (
    click.option("--nodes", type=int, default=8, show_default=True, help="How many nodes boot."),
    click.option("--rate", type=RATE, default="100mbit", show_default=True, help="Each node's link, both ways."),
    click.option("--size", type=SIZE, default="64MiB", show_default=True, help="Size of a random root image."),
    click.option(
        "--release",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Move this release instead of a random image.",
    ),
    click.option(
        "--trace",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="What a boot reads, in order: replayed on every node by swarmboot-lazy.",
    ),
    click.option(
        "--cache-from",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="The older release that nodes have kept, for swarmboot-cache.  [default: the one that is moved]",
    ),
    click.option("--server-rate", type=RATE, help="The server's link, both ways.  [default: as --rate]"),
    click.option("--stagger", type=DURATION, default="0s", show_default=True, help="Start node I at I times this."),
    click.option("--warm", type=int, default=0, show_default=True, help="More nodes, booted before the clock starts."),
    click.option("--racks", type=int, default=1, show_default=True, help="Switches the nodes are spread over."),
    click.option("--rack-uplink", type=RATE, help="Each rack's link to the core, both ways."),
    click.option("--stage0", type=SIZE, default="0B", help="Kernel and initramfs, for swarmboot+stage0."),
    click.option("--kernel", type=DURATION, default="0s", help="What a kernel takes to start, for swarmboot+stage0."),
    click.option("--timeout", type=DURATION, help="Give a run up after this.  [default: 3 x unicast + start-up]"),
    click.option("--kill-server-after", type=DURATION, help="Kill the server's programs this long after the start."),
    click.option("--kill-node", type=CASUALTY, multiple=True, help="Kill node I after S seconds. Repeatable."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
)  # fmt: skip


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(cls=Verbs)
def lab() -> None:
    """Boot a rack inside this machine and measure it against the limit (needs root).

    Real programs, each in its own network namespace, every link shaped both ways.

    \b
    Example:
      swarmboot lab compare --nodes 8 --rate 100mbit --size 64MiB
    """


@lab.command()
@_with_options
@click.option("--strategy", type=click.Choice(NAMES), default="swarmboot", show_default=True)
@click.option("--lazy", "is_lazy", is_flag=True, help=f"As --strategy {LAZY}.")
def run(*, strategy: str, is_lazy: bool, as_json: bool, **given: Any) -> None:
    """Run one strategy.

    \b
    Example:
      swarmboot lab run --nodes 8 --rate 100mbit --size 64MiB
    """
    with stopped_by_signals():
        result = _run(_plan(LAZY if is_lazy else strategy, given))
    if as_json:
        click.echo(json.dumps(result.as_json()))
    else:
        Console().print(table_of([result]))


@lab.command()
@_with_options
@click.option(
    "--strategy",
    type=click.Choice(NAMES),
    multiple=True,
    help=f"Repeatable.  [default: all but {LAZY}, {CACHE}, {STAGE0}]",
)
def compare(*, strategy: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Run several strategies in turn over the same links.

    A strategy that fails is named on standard error and the others still run; the exit status is then its error's.

    \b
    Example:
      swarmboot lab compare --strategy https --strategy swarmboot --nodes 4 --size 16MiB
    """
    results: list[LabResult] = []
    failures: list[SwarmbootError] = []
    with stopped_by_signals():
        for name in strategy or COMPARED:
            try:
                results.append(_run(_plan(name, _for(name, given))))
            except SwarmbootError as error:
                failures.append(error)
    if as_json:
        click.echo(json.dumps([result.as_json() for result in results]))
    elif results:
        Console().print(table_of(results))
    for failure in failures[1:]:
        click.echo(f"swarmboot: {failure}", err=True)
    if failures:
        raise failures[0]


@lab.command()
@click.option("--small", is_flag=True, help="Only the rows that the tests run.")
@click.option(
    "--strategy",
    type=click.Choice(("https", "libtorrent", "swarmboot", LAZY, STAGE0)),
    multiple=True,
    help="Repeatable.",
)
@click.option("--runs", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs of the lab a row.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Keep runs here; those there count.")
@click.option("--for", "budget", type=DURATION, help="Begin no run later than this; go on with the same --record.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--markdown", is_flag=True, help="Print the table as docs/calibration.md has it.")
def calibrate(
    *,
    small: bool,
    strategy: tuple[str, ...],
    runs: int,
    record: Path | None,
    budget: float | None,
    as_json: bool,
    markdown: bool,
) -> None:
    """Run the same scenarios in the lab and in the simulator, and print how far apart they are.

    Takes three quarters of an hour.

    \b
    Example, in pieces of five minutes:
      swarmboot lab calibrate --record runs.jsonl --for 5min
    """
    from netsim.lab.calibration.calibrate import compare, markdown_of, measure_rows
    from netsim.lab.calibration.calibrate import table_of as calibration_table
    from netsim.lab.calibration.record import Record
    from netsim.lab.calibration.rows import full_rows, small_rows

    rows = [row for row in (small_rows() if small else full_rows()) if not strategy or row.strategy in strategy]
    kept = Record(record)
    with stopped_by_signals():
        until_s = time.monotonic() + (float("inf") if budget is None else budget)
        for row in measure_rows(rows, kept, runs=runs, until_s=until_s):
            click.echo(f"{row.label}: run {len(kept.runs_of(row))} of {runs}", err=True)
        measured = [row for row in rows if kept.runs_of(row)]
        comparisons = [compare(row, kept.runs_of(row)) for row in measured]
    if as_json:
        click.echo(json.dumps([each.as_json() for each in comparisons]))
    elif markdown:
        click.echo(markdown_of(comparisons), nl=False)
    else:
        Console(width=150 if not sys.stdout.isatty() else None).print(calibration_table(comparisons))
    lacking = sum(len(kept.runs_of(row)) < runs for row in rows)
    if lacking:
        click.echo(f"{lacking} of {len(rows)} rows lack runs; the same command goes on with them", err=True)


lab.add_command(chaos)
lab.add_command(soak)


def _for(strategy: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a strategy among others: without those that are meant for one alone."""
    alone = {"trace": LAZY, "cache_from": CACHE}
    return {name: None if alone.get(name, strategy) != strategy else value for name, value in given.items()}


def _plan(strategy: str, given: dict[str, Any]) -> LabPlan:
    """Return the plan that the options describe."""
    after_s = given["kill_server_after"]
    casualties: tuple[Casualty, ...] = given["kill_node"]
    if after_s is not None:
        casualties += (Casualty(after_s=after_s),)
    plan = LabPlan(
        strategy=strategy,
        nodes=given["nodes"],
        rate_bytes_per_s=given["rate"],
        size_bytes=given["size"],
        release=given["release"],
        server_rate_bytes_per_s=given["server_rate"],
        stagger_s=given["stagger"],
        warm=given["warm"],
        racks=given["racks"],
        rack_uplink_bytes_per_s=given["rack_uplink"],
        timeout_s=given["timeout"],
        casualties=casualties,
        trace=given["trace"],
        cache_from=given["cache_from"],
        stage0_bytes=given["stage0"],
        kernel_s=given["kernel"],
    )
    plan.check()
    return plan


def _run(plan: LabPlan) -> LabResult:
    from netsim.lab.run.run import run_strategy

    with watching(plan) as watcher:
        return run_strategy(plan, watcher)
