"""Packets processed on the application's core, goodput and processor time, for each kind of steering."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from analysis import networks, panels, tables
from analysis.load import Run
from analysis.metrics import summarise
from analysis.style import key, look

METRICS = ("throughput_bps", "home_share", "cpu_s_per_gbyte")

STEERING = {"none": "none", "rps": "RPS", "rfs": "RFS", "mptcp-aware": "MPTCP-aware"}
"""The factor's values, and what they are called."""

PANELS = {
    "home_percent": "packets on the\napplication's core (%)",
    "goodput_gbps": "goodput\n(Gbit/s)",
    "cpu_s_per_gbyte": "processor time\n(s per GB)",
}
_PATHS = "home_shares_"
_ROW_IN = 0.17


def points(run: Run) -> pd.DataFrame:
    """Return the points that passed, in the units of the figure."""
    passed = run.passed
    return passed.assign(home_percent=100 * passed["home_share"], goodput_gbps=passed["throughput_bps"] / 1e9)


def summary(run: Run, value: str) -> pd.DataFrame:
    """Return n, mean and spread of one of :data:`PANELS` by stack and steering."""
    return summarise(points(run), ["stack", "steering"], value)


def draw(run: Run) -> Figure:
    """Return the figure: a dot a repetition (of each path, where packets are) by stack and steering, and their mean."""
    rows = [(stack, steering) for stack in run.stacks for steering in STEERING]
    figure, of_values = panels.row(len(PANELS), 1.0 + _ROW_IN * (len(rows) + len(run.stacks)))
    places = {row: number + 0.7 * run.stacks.index(row[0]) for number, row in enumerate(rows)}
    for axes, (value, label) in zip(of_values, PANELS.items(), strict=True):
        _draw_panel(axes, run, value, places)
        axes.set_xlabel(label, fontsize=7)
        axes.grid(visible=False, axis="y")
        axes.margins(y=0.03)
        axes.set_xlim(left=0)
    of_values[0].set_xlim(0, 104)
    of_values[0].set_xticks((0, 50, 100))
    of_values[0].set_yticks(list(places.values()), [STEERING[steering] for _, steering in places], fontsize=6.5)
    of_values[0].invert_yaxis()
    n = int(summary(run, "home_percent")["n"].min())
    links = networks.link_count(run, run.parameters["paths"])
    load = f"{run.parameters['seconds']:g} s, {links} links"
    panels.foot(figure, f"lines: mean, dots: n = {n} (left: of each path); {load}")
    panels.legend(figure, [key(look(stack), linestyle="") for stack in run.stacks], 3)
    return figure


def _draw_panel(axes: Axes, run: Run, value: str, places: dict[tuple[str, str], float]) -> None:
    measured, means = points(run), summary(run, value).set_index(["stack", "steering"])["mean"]
    for (stack, steering), place in places.items():
        if (stack, steering) in means.index:
            same = measured[(measured["stack"] == stack) & (measured["steering"] == steering)]
            panels.dots(axes, place, _dots(same, value), means[stack, steering], look(stack))


def _dots(measured: pd.DataFrame, value: str) -> list[float]:
    """The single values behind a bar."""
    if value != "home_percent":
        return list(measured[value].dropna())
    paths = [column for column in measured if column.startswith(_PATHS)]
    return [100 * share for column in paths for share in measured[column].dropna()]


def table(run: Run) -> Table:
    """Return the means by stack and steering, with migrations and switches of the client's program."""
    headings = "stack", "steering", "home %", "Gbit/s", "s/GB", "switches", "migr.", "n"
    result = tables.table(run.manifest["title"], headings, headings[:2])
    means = {value: summary(run, value).set_index(["stack", "steering"]) for value in PANELS}
    measured = points(run)
    switches = measured["programs_client_voluntary_switches"] + measured["programs_client_involuntary_switches"]
    measured = measured.assign(switches=switches)
    keys = ["stack", "steering"]
    counts = measured.groupby(keys, sort=False)[["switches", "programs_client_migrations"]].mean()
    for stack in run.stacks:
        for steering, label in STEERING.items():
            if (stack, steering) in counts.index:
                cells = [_cell(means[value].loc[(stack, steering)], value) for value in PANELS]
                row = counts.loc[(stack, steering)]
                n = means["home_percent"].loc[(stack, steering)]["n"]
                result.add_row(look(stack).label, label, *cells, *(f"{number:.0f}" for number in row), f"{n:.0f}")
    return result


def _cell(row: Any, value: str) -> str:
    return tables.number(row["mean"], row["sd"], row["n"], ".0f" if value == "home_percent" else ".2f", sign="±")
