"""The verbs `swarmboot lab chaos` and `swarmboot lab soak`: arguments in, a table row by row or JSON out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsim.lab.rack.signals import stopped_by_signals
from swarmboot.errors import LabError
from swarmboot.parameters import RATE, SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsim.lab.chaos.rows.row import Row
    from netsim.lab.chaos.soak import SoakResult
    from netsim.lab.chaos.verdict import Outcome, Terms


@click.command()
@click.option("--row", "names", multiple=True, metavar="NAME", help="Play this row; repeatable.  [default: all]")
@click.option("--list", "is_list", is_flag=True, help="Say what each row does, and play none.")
@click.option("--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="Play all with seeds 1 to N.")
@click.option("--seed", "one_seed", type=click.IntRange(0), help="Play all with this seed only.")
@click.option("--nodes", type=click.IntRange(2, 200), default=12, show_default=True, help="How many nodes boot.")
@click.option("--rate", type=RATE, default="40mbit", show_default=True, help="Every link, both ways.")
@click.option("--size", type=SIZE, default="12MiB", show_default=True, help="Size of a random root image.")
@click.option(
    "--logs", type=click.Path(file_okay=False, path_type=Path), help="Keep all programs' logs and reports here."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and the table on standard error.")
@click.option("--markdown", is_flag=True, help="Print the table as docs/lab.md has it, and the rows on standard error.")
def chaos(
    *,
    names: tuple[str, ...],
    is_list: bool,
    seeds: int,
    one_seed: int | None,
    nodes: int,
    rate: float,
    size: int,
    logs: Path | None,
    as_json: bool,
    markdown: bool,
) -> None:
    """Boot a rack of real nodes through everything that can go wrong, and check that it held.

    Every node with an honest source boots, no image is ever a wrong one, nobody waits for ever, and no row takes longer
    than twice the fault-free run or 1.1 x plain HTTPS, whichever is longer. The exit status is 65 if a row fails.

    \b
    Example:
      swarmboot lab chaos --seeds 3
      swarmboot lab chaos --row lease-burner --seed 2 --logs /tmp/chaos
    """
    from netsim.lab.chaos.rows.table import rows_named
    from netsim.lab.chaos.verdict import Terms, markdown_of

    rows = rows_named(names)
    if is_list:
        _list(rows, as_json=as_json)
        return
    numbers = range(1, seeds + 1) if one_seed is None else (one_seed,)
    terms = [Terms(nodes=nodes, rate_bytes_per_s=rate, size_bytes=size, seed=n, seeds=len(numbers)) for n in numbers]
    outcomes = _play(rows, terms, logs=logs, is_apart=as_json or markdown)
    if as_json:
        click.echo(json.dumps([outcome.as_json() for outcome in outcomes]))
    elif markdown:
        click.echo(markdown_of(outcomes), nl=False)
    _check_held(outcomes)


def _list(rows: Sequence[Row], *, as_json: bool) -> None:
    said = {row.name: row.says for row in rows}
    click.echo(json.dumps(said) if as_json else "\n".join(f"{name:<24} {says}" for name, says in said.items()))


def _play(rows: Sequence[Row], terms: Sequence[Terms], *, logs: Path | None, is_apart: bool) -> list[Outcome]:
    """Play rows, print the line of each as it ends, on standard error if `is_apart`, and return how they went."""
    from netsim.lab.chaos.play import play_all
    from netsim.lab.chaos.verdict import HEADING, line_of

    outcomes = []
    with stopped_by_signals():
        click.echo(HEADING, err=is_apart)
        for outcome in play_all(rows, terms, logs=logs):
            outcomes.append(outcome)
            click.echo(line_of(outcome), err=is_apart)
    return outcomes


def _check_held(outcomes: Sequence[Outcome]) -> None:
    """Raise LabError if a row failed."""
    failed = [outcome for outcome in outcomes if outcome.faults]
    if failed:
        raise LabError(
            f"{len(failed)} of {len(outcomes)} rows did not hold",
            found=", ".join(f"{outcome.row} (seed {outcome.seed})" for outcome in failed),
            hint="play one again with --row, --seed and --logs",
        )


@click.command()
@click.option("--boots", type=click.IntRange(2), default=1000, show_default=True, help="Begin no rack after so many.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="What all fates are drawn from.")
@click.option("--rate", type=RATE, default="40mbit", show_default=True, help="Every link, both ways, but slow ones.")
@click.option("--size", type=SIZE, default="4MiB", show_default=True, help="Size of a random root image.")
@click.option(
    "--logs", type=click.Path(file_okay=False, path_type=Path), help="Keep logs of racks with a failure here."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def soak(*, boots: int, seed: int, rate: float, size: int, logs: Path | None, as_json: bool) -> None:
    """Boot rack after rack of 8 to 12 real nodes, some of them killed, late or slow, and count first tries.

    At least 99.9 % of all boots succeed at the first try, and the others say why. A node that is killed before it has
    booted is no boot. The exit status is 65 if fewer succeed, or if any image is a wrong one.

    \b
    Example:
      swarmboot lab soak --boots 1000 --logs /tmp/soak
    """
    from netsim.lab.chaos.soak import FIRST_TRY, MAX_RACK, soak_racks
    from netsim.lab.chaos.soak import table_of as soak_table
    from netsim.lab.chaos.verdict import Terms

    terms = Terms(nodes=MAX_RACK, rate_bytes_per_s=rate, size_bytes=size, seed=seed)
    shown = 0

    def tell(so_far: SoakResult) -> None:
        nonlocal shown
        for failure in so_far.failures[shown:]:
            click.echo(f"lab: rack {failure.rack}: {failure.why}", err=True)
        shown = len(so_far.failures)
        click.echo(
            f"lab: {so_far.booted} of {so_far.boots} boots, {so_far.racks} racks, {so_far.took_s:.0f} s", err=True
        )

    with stopped_by_signals():
        result = soak_racks(boots, terms, logs=logs, told=tell)
    click.echo(json.dumps(result.as_json()) if as_json else soak_table(result))
    if not result.has_held:
        raise LabError(
            "too few boots succeeded at the first try",
            expected=f"{FIRST_TRY:.1%} and no wrong image",
            found=f"{result.booted} of {result.boots}, {result.wrong} wrong images",
            hint="the lines above say why; see their logs with --logs",
        )
