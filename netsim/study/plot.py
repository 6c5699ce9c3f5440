"""Draws simulations with Matplotlib, which is optional and imported only here: four panels.

The boot of every node by phase, nodes up over time, the servers' uplink over time, and bytes by source. It writes SVG
or PNG with all four, or an HTML page with a drawing a panel, one below the other where the screen is narrow. What was
assumed of the fleet stands with them.
"""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from netsim.scenario.arrays import Floats
from netsim.study.assumptions import assumptions
from netsim.study.result import SCATTERS, sentence
from netsim.study.runs import Run
from swarmboot.errors import MalformedSettingError, ToolMissingError
from swarmboot.wire.report import PHASES

FORMATS = (".svg", ".png", ".html")
_COLOURS = {
    "https": "#7f7f7f",
    "libtorrent": "#d99000",
    "multicast": "#8c5a2b",
    "swarmboot": "#1f77b4",
    "swarmboot-lazy": "#e377c2",
    "swarmboot+stage0": "#0b7a3b",
}
_PHASE_COLOURS = {
    "power_on": "#e8e8e8", "firmware": "#c2c2c2", "dhcp": "#9f9f9f", "loader": "#7c7c7c", "stage0": "#d1495b",
    "kernel": "#edae49", "leecher_start": "#f5d58b", "manifest": "#66a182", "images": "#2e7fb8",
    "verification": "#8d6a9f", "hand_off": "#c4a3d0", "services": "#a8dadc",
}  # fmt: skip
_MAX_ROWS = 400
_BINS = 300
_LANE = 0.85
_STYLE = """
body { font-family: sans-serif; margin: 1em auto; padding: 0 .6em; max-width: 1400px; line-height: 1.4 }
h1 { font-size: 1.15em } p { font-size: .85em; color: #444 }
main { display: grid; gap: 1em; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30em), 1fr)) }
svg { width: 100%; height: auto }
"""


def check_plot_path(path: Path) -> Path:
    """Return `path`; raise MalformedSettingError for another format, ToolMissingError without Matplotlib."""
    if path.suffix.lower() not in FORMATS:
        raise MalformedSettingError("--plot cannot write that", expected=" or ".join(FORMATS), found=repr(path.name))
    if not path.absolute().parent.is_dir():
        raise MalformedSettingError("--plot cannot write there", expected="a folder that exists", found=repr(str(path)))
    try:
        import matplotlib  # noqa: F401 - only to see whether it is there
    except ImportError as error:
        raise ToolMissingError(
            "--plot needs Matplotlib", hint="apt install python3-matplotlib, or pip install matplotlib"
        ) from error
    return path


def write_plot(runs: Sequence[Run], path: Path) -> None:
    """Draw the runs, which are of one scenario, and write them; raises as `check_plot_path` does."""
    check_plot_path(path)
    if path.suffix.lower() != ".html":
        draw(runs).savefig(path, dpi=110)
        return
    title = html.escape(sentence([run.result for run in runs]))
    assumed = html.escape(assumptions(runs[0].scenario))
    panels = "\n".join(_svg(panel) for panel in draw_panels(runs))
    path.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n'
        f"<h1>{title}</h1>\n<p>{assumed}</p>\n<main>\n{panels}\n</main></html>\n",
        encoding="utf-8",
    )


def _svg(figure: Any) -> str:
    """Return a drawing that is as wide as the page has room for it."""
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg")
    svg = drawing.getvalue()
    svg = svg[svg.index("<svg") :]
    head, end, rest = svg.partition(">")
    return re.sub(r' (?:width|height)="[^"]*"', "", head) + end + rest


def draw(runs: Sequence[Run]) -> Any:
    """Return the figure with all four panels."""
    figure = _figure((13, 8.9))
    for panel, axis in zip(_panels(runs), figure.subplots(2, 2).flat, strict=True):
        panel(axis)
    figure.suptitle(textwrap.fill(sentence([run.result for run in runs]), 150), fontsize=12)
    figure.supxlabel(textwrap.fill(assumptions(runs[0].scenario), 200), fontsize=8)
    return figure


def draw_panels(runs: Sequence[Run]) -> list[Any]:
    """Return a figure a panel, whose letters can be read on a screen as wide as a hand."""
    figures = []
    for panel in _panels(runs):
        figure = _figure((5.2, 4.6))
        panel(figure.subplots())
        figures.append(figure)
    return figures


def _figure(inches: tuple[float, float]) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _panels(runs: Sequence[Run]) -> list[Callable[[Any], None]]:
    return [
        partial(_draw_waterfall, run=_shown_run(runs)),
        *(partial(draw_one, runs=runs) for draw_one in (_draw_up, _draw_uplink, _draw_sources)),
    ]


def _shown_run(runs: Sequence[Run]) -> Run:
    """Return the run whose phases are drawn: the best of ours, else the first."""
    by_name = {run.result.strategy: run for run in runs}
    return next((by_name[name] for name in SCATTERS if name in by_name), runs[0])


def _draw_waterfall(axis: Any, run: Run) -> None:
    ends_s = run.outcome.ends_s
    order = np.argsort(ends_s[-1], kind="stable")
    order = order[np.linspace(0, len(order) - 1, min(len(order), _MAX_ROWS)).astype(int)]
    begins_s = np.zeros(len(order))
    rows = np.linspace(1, ends_s.shape[1], len(order))
    height = max(1.0, ends_s.shape[1] / len(order))
    for phase, row in zip(PHASES, ends_s, strict=True):
        there = np.isfinite(row[order])
        widths = np.where(there, row[order] - begins_s, 0.0)
        axis.barh(rows, widths, left=begins_s, height=height, color=_PHASE_COLOURS[phase], label=phase, linewidth=0)
        begins_s = np.where(there, row[order], begins_s)
    axis.set(title=f"boot by phase, {run.result.strategy}", xlabel="seconds", ylabel="nodes, first up at the bottom")
    axis.set_ylim(0.5, ends_s.shape[1] + 0.5)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, fontsize=8, frameon=False)


def _draw_up(axis: Any, runs: Sequence[Run]) -> None:
    nodes = runs[0].result.nodes
    for run in runs:
        up_s = np.sort(run.outcome.up_s[np.isfinite(run.outcome.up_s)])
        counts = np.arange(len(up_s) + 1)
        times_s = np.concatenate([[0.0], up_s])
        axis.step(times_s, counts, where="post", label=run.result.strategy, color=_COLOURS[run.result.strategy])
    axis.axvline(runs[0].result.limit_s, color="black", linestyle=":", label="limit")
    axis.set(title="nodes up", xlabel="seconds", ylabel="nodes", ylim=(0, nodes * 1.05))
    _stretch(axis, runs)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, fontsize=8, frameon=False)


def _stretch(axis: Any, runs: Sequence[Run]) -> None:
    """Use a logarithmic time axis when one strategy takes many times as long as another."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    lasts = [run.result.up_s.last_s for run in runs if run.result.up_s.last_s]
    if lasts and max(lasts) > 6 * min(lasts):
        axis.set_xscale("log")
        axis.set_xlim(left=max(0.1, min(lasts) / 4))
        axis.set_xlabel("seconds, logarithmic")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _index: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())


def _draw_uplink(axis: Any, runs: Sequence[Run]) -> None:
    """Draw a lane a strategy, so that those that fill the link do not hide each other."""
    network = runs[0].scenario.network
    capacity = network.servers * network.server_bytes_per_s + network.mirrors * network.mirror_bytes_per_s
    for lane, run in enumerate(reversed(runs)):
        edges, rates = _uplink(run)
        heights = lane + _LANE * rates / capacity
        axis.stairs(heights, edges, baseline=lane, fill=True, color=_COLOURS[run.result.strategy])
        axis.axhline(lane, color="#bbbbbb", linewidth=0.6)
    axis.set(
        title="servers' and mirrors' uplink, from idle to full in each lane", xlabel="seconds", ylim=(0, len(runs)),
        yticks=[lane + _LANE / 2 for lane in range(len(runs))],
        yticklabels=[run.result.strategy for run in reversed(runs)],
    )  # fmt: skip
    _stretch(axis, runs)


def _uplink(run: Run) -> tuple[Floats, Floats]:
    """Return the edges of time bins and the mean raw rate in each."""
    samples = run.outcome.samples
    end_s = max((sample.start_s + sample.duration_s for sample in samples), default=1.0)
    edges = np.linspace(0.0, end_s, _BINS + 1)
    sent = np.zeros(_BINS + 1)
    for sample in samples:
        share = np.clip((edges - sample.start_s) / max(sample.duration_s, 1e-9), 0.0, 1.0)
        sent += sample.source_bytes * share
    return edges, np.diff(sent) / np.diff(edges) / run.scenario.network.goodput


def _draw_sources(axis: Any, runs: Sequence[Run]) -> None:
    names = [run.result.strategy for run in runs]
    servers = np.array([run.outcome.server_bytes for run in runs]) / 1e9
    nodes = np.array([run.outcome.node_bytes for run in runs]) / 1e9
    axis.barh(names, servers, color="#d1495b", label="servers and mirrors")
    axis.barh(names, nodes, left=servers, color="#2e7fb8", label="neighbours")
    axis.invert_yaxis()
    axis.set(title="bytes by source, stage 0 included", xlabel="GB, headers counted")
    axis.set_xlim(right=1.3 * float((servers + nodes).max()))
    axis.legend(fontsize=8, frameon=False, loc="center right")
