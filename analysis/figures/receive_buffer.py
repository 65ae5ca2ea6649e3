"""Goodput against the size of the buffers, a line a stack and mechanism, over WiFi, 3G or both."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from analysis import networks
from analysis.load import Run
from analysis.metrics import bars, counted, summarise
from analysis.style import COLUMN_WIDTH_IN, Look, aside, key, look

METRICS = ("goodput_bps",)
"""What it shows of the results, by name (see analysis.compare)."""

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
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 3.4))
    axes = figure.subplots()
    lines = list(rates.groupby(["stack", "path"], sort=False))
    handles = [key(line(run, *which), markersize=3, linewidth=0.9) for which, _ in lines]
    for place, ((stack, path), rows) in enumerate(lines):
        style, rows = line(run, stack, path), rows.sort_values("buffer_kb")
        drawn = axes.errorbar(
            rows["buffer_kb"], rows["mean"], yerr=bars(rows), color=style.color,
            marker=style.marker, linestyle=style.linestyle, linewidth=0.9, capsize=2.5, elinewidth=0.8, capthick=0.8,
            markersize=3,
        )  # fmt: skip
        aside(axes, drawn.get_children(), place, len(lines), 1.5)
    axes.set_xscale("log")
    sizes = sorted(rates["buffer_kb"].unique())
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"send and receive buffer (kB); {counted(rates)}")
    axes.set_ylabel("goodput (Mbit/s)")
    figure.supxlabel(f"of Python MPTCP: {MECHANISMS}", fontsize=6, color="#444444")
    figure.legend(handles=handles, loc="outside upper left", ncols=2, columnspacing=1.0, fontsize=6)
    return figure


def table(run: Run) -> Table:
    """Return Mbit/s by line and size of the buffers."""
    rates = summary(run)
    result = Table(
        title=run.manifest["title"], caption=MECHANISMS, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    result.add_column("Mbit/s with buffers of", no_wrap=True)
    sizes = sorted(rates["buffer_kb"].unique())
    for size in sizes:
        result.add_column(f"{size:g} kB", justify="right", no_wrap=True)
    result.add_column("n", justify="right")
    for (stack, path), rows in rates.groupby(["stack", "path"], sort=False):
        by_size = {row.buffer_kb: row for row in rows.itertuples()}
        cells = [_cell(by_size[size]) if size in by_size else "" for size in sizes]
        result.add_row(line(run, stack, path).label, *cells, f"{rows['n'].min()}")
    return result


def _cell(row: object) -> str:
    spread = f"±{row.sd:.2f}" if row.n > 1 else ""  # type: ignore[attr-defined]
    return f"{row.mean:.2f}{spread}"  # type: ignore[attr-defined]
