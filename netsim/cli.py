"""The verb `swarmboot simulate`: flags and a scenario file in; a sentence, tables, JSON and plots out."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netsim.scenario.options import with_scenario_options
from swarmboot.errors import MalformedSettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsim.scenario.scenario import Scenario
    from netsim.study.result import SimulationResult
    from netsim.study.runs import Run

STRATEGY_NAMES = ("https", "libtorrent", "multicast", "swarmboot", "swarmboot-lazy", "swarmboot+stage0")


@click.command()
@with_scenario_options
@click.option(
    "--strategy", "strategies", type=click.Choice(STRATEGY_NAMES), multiple=True, help="Repeatable.  [default: all]"
)
@click.option("--sweep", metavar="nodes=A,B,..", help="Simulate several fleet sizes, for growth curves.")
@click.option("--plan-power", is_flag=True, help="Search the power-on stagger with the last node up soonest.")
@click.option("--uplink-share", default="100%", show_default=True, help="What --plan-power may use of the uplink.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--plot", "plots", type=click.Path(path_type=Path), multiple=True, help="Draw to a .svg, .png or .html. Repeatable."
)
def simulate(
    *,
    strategies: tuple[str, ...],
    sweep: str | None,
    plan_power: bool,
    uplink_share: str,
    as_json: bool,
    plots: tuple[Path, ...],
    **given: Any,
) -> None:
    """Say how long a fleet takes to boot, from power-on to services, without booting any.

    \b
    Examples:
      swarmboot simulate --nodes 500
      swarmboot simulate --nodes 500 --server-dies-at 20s --mirrors 1
      swarmboot simulate --scenario farm.toml --plot farm.html
      swarmboot simulate --nodes 500 --plan-power --uplink-share 80%
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy multiplies nothing here: its threads would only spin
    from netsim.scenario.from_flags import parse_sweep, scenario_of

    scenario = scenario_of(given)
    _check_plots(plots)
    if plan_power:
        _plan_power(scenario, strategies, uplink_share, as_json=as_json)
        return
    if sweep and plots:
        raise MalformedSettingError("--plot draws one fleet size", expected="--plot without --sweep")
    sizes = parse_sweep(sweep) if sweep else (scenario.nodes,)
    scenarios = [replace(scenario, nodes=nodes).check() for nodes in sizes]
    _show(_run(scenarios, strategies or STRATEGY_NAMES), as_json=as_json, plots=plots)


def _check_plots(paths: Sequence[Path]) -> None:
    if paths:
        from netsim.study.plot import check_plot_path

        for path in paths:
            check_plot_path(path)


def _run(scenarios: Sequence[Scenario], strategies: Sequence[str]) -> list[Run]:
    from netsim.study.runs import run_all

    return run_all([(scenario, strategy) for scenario in scenarios for strategy in strategies])


def _show(runs: list[Run], *, as_json: bool, plots: Sequence[Path]) -> None:
    results = [run.result for run in runs]
    if as_json:
        click.echo(json.dumps([result.as_json() for result in results]))
    else:
        _print(results, [run.scenario for run in runs])
    for path in plots:
        from netsim.study.plot import write_plot

        write_plot(runs, path)
        click.echo(f"drawn: {path}", err=True)


def _print(results: Sequence[SimulationResult], scenarios: Sequence[Scenario]) -> None:
    from rich.console import Console

    from netsim.study.assumptions import assumptions
    from netsim.study.result import sentence
    from netsim.study.tables import phases_table, strategies_table

    for nodes in dict.fromkeys(result.nodes for result in results):
        click.echo(sentence([result for result in results if result.nodes == nodes]))
    console = Console()
    console.print(assumptions(scenarios[0]), style="dim", highlight=False, markup=False)
    console.print(strategies_table(results))
    if len({result.nodes for result in results}) == 1:
        console.print(phases_table(results[-1]))


def _plan_power(scenario: Scenario, strategies: tuple[str, ...], uplink_share: str, *, as_json: bool) -> None:
    from netsim.scenario.toml import parse_share
    from netsim.study.power_plan import WINDOW_S, plan_power
    from swarmboot.text.units import format_duration

    share = parse_share(uplink_share)
    if not 0 < share <= 1:
        raise MalformedSettingError("--uplink-share is out of range", expected="1% to 100%", found=uplink_share)
    plan = plan_power(scenario, strategies[0] if strategies else STRATEGY_NAMES[-1], share=share)
    if as_json:
        click.echo(json.dumps(plan.as_json()))
        return
    pace = f"Power on a node every {format_duration(plan.stagger_s)}" if plan.stagger_s else "Power all on at once"
    click.echo(
        f"{pace}: the last of {scenario.nodes} is up after {format_duration(plan.last_up_s)}, the uplink at most "
        f"{plan.share:.0%} used over any {WINDOW_S:g} s."
    )
    for line in plan.lines():
        click.echo(line)
