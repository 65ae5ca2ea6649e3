"""How many connections each end was left with in TIME-WAIT, and how they came to be so many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich.table import Table

from analysis import panels, tables
from analysis.collected import load as load_collected
from analysis.load import Run
from analysis.metrics import counted, spread
from analysis.style import COLUMN_WIDTH_IN, GREY, look

METRICS = ("subflows", "client_time_wait", "server_time_wait")

FACTORS = ("closes_first",)

_HEIGHT = 0.36
_ENDS = ("client", "server")
PASSIVE: Mapping[str, str] = {"server": "client", "client": "server"}
"""The end that closes second, by the one that closes first: which should be left with none."""


def summary(run: Run) -> pd.DataFrame:
    """Return means of subflows made and of those in TIME-WAIT at either end, and n, by who closes first and stack.

    With `_sd`, the spread of each.
    """
    columns = {name: (name, "mean") for name in METRICS} | {f"{name}_sd": (name, "std") for name in METRICS}
    groups = run.passed.groupby(["closes_first", "stack"], sort=False)
    return groups.agg(n=("repetition", "count"), **columns).reset_index()


def over_time(run: Run, row: pd.Series) -> pd.Series:
    """Return the number in TIME-WAIT at the passive closer of a point, by seconds since its first sample."""
    states = load_collected(run.point_directory(row), "socket-states")
    stack = "ours" if row["stack"].startswith("python") else "kernel"
    states = states[(states["host"] == PASSIVE[row["closes_first"]]) & (states["stack"] == stack)]
    times = sorted(states["time_s"].unique())
    waiting = states[states["state"] == "TIME-WAIT"].set_index("time_s")["sockets"].reindex(times, fill_value=0)
    return waiting.set_axis([time - times[0] for time in times]) if times else waiting


def draw(run: Run) -> Figure:
    """Return the figure: for each end that closes first the last counts, and the passive closer's over time."""
    counts = summary(run)
    firsts = list(dict.fromkeys(counts["closes_first"]))
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 2.4 + 0.35 * len(run.stacks)))
    both = figure.subplots(2, len(firsts), squeeze=False, sharex="row", sharey="row")
    for (bars, lines), first in zip(both.T, firsts, strict=True):
        _draw_bars(bars, counts[counts["closes_first"] == first], run.stacks)
        bars.set_title(f"{first} closes first", fontsize=7)
        lines.set_title(f"at the {PASSIVE[first]}", fontsize=7)
        points = run.passed[(run.passed["closes_first"] == first) & (run.passed["repetition"] == 1)]
        for place, (_, row) in enumerate(points.iterrows()):
            waiting, style = over_time(run, row), look(row["stack"])
            dashed = "--" if "+" in row["stack"] else "-"
            width = 0.8 + 0.8 * (len(points) - 1 - place)  # of lines that coincide each is to be seen
            lines.plot(waiting.index, waiting, dashed, color=style.color, linewidth=width, label=_label(row["stack"]),
                       clip_on=False, solid_capstyle="butt")  # fmt: skip
        lines.set_xlabel("time (s)")
    panels.rows(both[0, 0], [_label(stack).replace(", ", ",\n") for stack in run.stacks], 7)
    both[1, 0].set_ylabel("in TIME-WAIT")
    both[1, 0].set_ylim(bottom=0)
    ends = [Patch(**_filling(end, GREY), label=f"at the {end}") for end in _ENDS]
    panels.legend(figure, [*ends, *panels.labelled(figure)])
    panels.foot(figure, f"above: {counted(counts)}; below: the first repetition")
    return figure


def _filling(end: str, color: str) -> dict[str, Any]:
    """Return how a bar is filled: a colour is a stack here as below, full is the server's end."""
    return {
        "facecolor": color if end == "server" else "white",
        "edgecolor": color,
        "hatch": "" if end == "server" else "////",
    }


def _draw_bars(axes: Axes, counts: pd.DataFrame, stacks: list[str]) -> None:
    for number, end in enumerate(_ENDS):
        means = counts[f"{end}_time_wait"]
        places = [stacks.index(stack) + panels.shift(number, len(_ENDS), _HEIGHT) for stack in counts["stack"]]
        drawn = panels.bars(axes, places, means, spread(counts, of=f"{end}_time_wait_sd"), _HEIGHT, linewidth=0.6)
        for bar, stack in zip(drawn, counts["stack"], strict=True):
            bar.set(**_filling(end, look(stack).color))
        axes.bar_label(drawn, labels=[f"{mean:.0f}" for mean in means], padding=2, fontsize=6)
    axes.margins(x=0.3)


def table(run: Run) -> Table:
    """Return subflows made and those in TIME-WAIT at either end, by who closes first and stack."""
    caption = f"in TIME-WAIT after {run.parameters['requests']:,} requests, by who closes first"
    headings = "first", "stack", "subflows", "client", "server", "n"
    result = tables.table(run.manifest["title"], headings, headings[:2], caption)
    for row in summary(run).itertuples():
        result.add_row(
            row.closes_first, _label(row.stack), f"{row.subflows:.0f}", f"{row.client_time_wait:.0f}",
            f"{row.server_time_wait:.0f}", f"{row.n}",
        )  # fmt: skip
    return result


def _label(stack: str) -> str:
    """Return the name of a stack, with the settings that were added to it."""
    name, *settings = stack.split("+")
    return ", ".join([look(name).label, *settings])
