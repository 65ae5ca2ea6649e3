"""Goodput against the size of the buffers, a line a stack and mechanism, over WiFi, 3G or both."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from analysis import networks, panels, tables
from analysis.load import Run
from analysis.metrics import counted, spread, summarise
from analysis.style import Look, key, look

METRICS = ("goodput_bps",)

_OWN = {
    "opportunistic_retransmission=off penalisation=off": ("none of 1-4", "#999999", "x"),
    "penalisation=off": ("with 1", "#cc79a7", "P"),
    "": ("with 1, 2", "#d55e00", "v"),
    "send_buffer_autotuning=on receive_buffer_autotuning=on": ("with 1-3", "#e69f00", "^"),
    "send_buffer_autotuning=on receive_buffer_autotuning=on cwnd_capping=on": ("with 1-4", "#7a5c00", "h"),
}
"""Settings of our MPTCP: which mechanisms are on, and how they are drawn."""

MECHANISMS = "1 retransmission, 2 penalisation, 3 autotuning, 4 capping"
"""What the numbers in labels mean."""

_ALONE = {"WiFi": "-", "3G": ":"}


def line(run: Run, stack: str, path: str) -> Look:
    """Return how a stack over a path is drawn and what it is called."""
    name, *settings = stack.split("+")
    own = _OWN.get(" ".join(settings)) if name == "python-mptcp" else None
    if own is not None:
        return replace(look(name), label=f"{look(name).label}, {own[0]}", color=own[1], marker=own[2])
    style = look(name)
    label = ", ".join([style.label, *settings, *([_called(run, path)] if path in _ALONE else [])])
    return replace(style, label=label, linestyle=_ALONE.get(path, style.linestyle))


def _called(run: Run, path: str) -> str:
    """A path by itself; of another network than that of the experiment, as its link is called there."""
    return networks.link_name(run, list(_ALONE).index(path), path, "wifi-3g")


def summary(run: Run) -> pd.DataFrame:
    """Return n, mean and spread in Mbit/s by stack, path and size of the buffers."""
    points = run.passed.assign(mbit_per_s=run.passed["goodput_bps"] / 1e6)
    return summarise(points, ["stack", "path", "buffer_kb"], "mbit_per_s")


def draw(run: Run) -> Figure:
    """Return the figure: goodput over the size of the buffers, which is logarithmic."""
    rates = summary(run)
    figure, (axes,) = panels.column(1, 3.4)
    lines = list(rates.groupby(["stack", "path"], sort=False))
    for number, (which, rows) in enumerate(lines):
        rows = rows.sort_values("buffer_kb")
        place = number, len(lines)
        panels.line(axes, rows["buffer_kb"], rows["mean"], line(run, *which), spread(rows), place, step_pt=1.5)
    axes.set_xscale("log")
    sizes = sorted(rates["buffer_kb"].unique())
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"send and receive buffer (kB); {counted(rates)}")
    axes.set_ylabel("goodput (Mbit/s)")
    panels.legend(figure, [key(line(run, *which), markersize=3, linewidth=0.9) for which, _ in lines], fontsize=6)
    panels.foot(figure, f"Python MPTCP: {MECHANISMS}")
    return figure


def table(run: Run) -> Table:
    """Return Mbit/s by line and size of the buffers."""
    rates = summary(run)
    sizes = sorted(rates["buffer_kb"].unique())
    what = "Mbit/s with buffers of"
    headings = what, *(f"{size:g} kB" for size in sizes), "n"
    result = tables.table(run.manifest["title"], headings, words=[what], caption=MECHANISMS)
    for which, rows in rates.groupby(["stack", "path"], sort=False):
        by_size = {row.buffer_kb: tables.number(row.mean, row.sd, row.n, sign="±") for row in rows.itertuples()}
        cells = [by_size.get(size, "") for size in sizes]
        result.add_row(line(run, *which).label, *cells, f"{rows['n'].min()}")
    return result
