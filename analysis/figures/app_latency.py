"""Delays of blocks from write to delivery, by size of the buffers: median, two percentiles and the largest.

Their distributions are a figure of its own, as in the paper.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich import box
from rich.table import Table

from analysis import distributions
from analysis.figures.receive_buffer import MECHANISMS, line
from analysis.load import Run
from analysis.metrics import counted
from analysis.style import COLUMN_WIDTH_IN

METRICS = tuple(f"download_delay_ms_p{percentile}" for percentile in (50, 95, 99, 100))
"""What it shows of the results, by name (see analysis.compare)."""

_MARKS = dict(zip(METRICS, (("median", "o"), ("p95", "d"), ("p99", "|"), ("largest", "")), strict=True))
_KEYS = ["buffer_kb", "stack", "path"]


def summary(run: Run) -> pd.DataFrame:
    """Return by size of the buffers, stack and path the means over repetitions of each mark, in ms, and n.

    The largest is that of all repetitions.
    """
    groups = run.passed.groupby(_KEYS, sort=False)
    how = {name: (name, "max" if name == METRICS[-1] else "mean") for name in METRICS}
    return groups.agg(n=("repetition", "count"), blocks=("download_frames", "sum"), **how).reset_index()


def draw(run: Run) -> Figure:
    """Return the figure: a panel a size, in it a row a stack; delays on one logarithmic axis."""
    delays = summary(run)
    sizes = sorted(delays["buffer_kb"].unique())
    rows = delays.groupby(["stack", "path"], sort=False).ngroups
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 0.9 + len(sizes) * (0.35 + 0.19 * rows)))
    panels = figure.subplots(len(sizes), 1, sharex=True, squeeze=False)[:, 0]
    for axes, size in zip(panels, sizes, strict=True):
        of_size = delays[delays["buffer_kb"] == size]
        labels = []
        for place, row in enumerate(of_size.to_dict("records")):
            style = line(run, row["stack"], row["path"])
            labels.append(style.label)
            axes.plot([row[METRICS[0]], row[METRICS[-1]]], [place, place], color=style.color, linewidth=0.8)
            for name, (_, marker) in _MARKS.items():
                if name != METRICS[-1]:  # that is where the line ends
                    axes.plot(row[name], place, marker, color=style.color, markersize=3.5)
        axes.set_yticks(range(len(labels)), labels, fontsize=6)
        axes.invert_yaxis()
        axes.set_title(f"buffers of {size:g} kB")
    panels[-1].set_xscale("log")
    panels[-1].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panels[-1].xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
    panels[-1].set_xlabel(f"delay of a block (ms); {counted(delays, 'means')}")
    handles = [
        Line2D([], [], marker=marker, linestyle="", color="#222222", label=name)
        for name, marker in list(_MARKS.values())[:-1]
    ]
    handles.append(Line2D([], [], color="#222222", linewidth=0.8, label="to the largest"))
    figure.supxlabel(f"of Python MPTCP: {MECHANISMS}", fontsize=6, color="#444444")
    figure.legend(handles=handles, loc="outside upper left", ncols=4, columnspacing=1.0, handletextpad=0.2)
    return figure


def draw_latencies(run: Run) -> Figure | None:
    """Return the distributions of the blocks' delays: a panel a size of the buffers, a curve a stack and path."""
    return distributions.draw(
        run, panels=["buffer_kb"], title=lambda key: f"buffers of {key['buffer_kb']:g} kB", lines=["stack", "path"],
        line=lambda key: line(run, key["stack"], key["path"]),
    )  # fmt: skip


def table(run: Run) -> Table:
    """Return the marks in ms by size of the buffers, stack and path."""
    result = Table(
        title=run.manifest["title"],
        caption=f"in ms; {MECHANISMS}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in ("kB", "stack", *(name for name, _ in _MARKS.values()), "blocks", "n"):
        result.add_column(heading, justify="left" if heading == "stack" else "right", no_wrap=True)
    for row in summary(run).sort_values("buffer_kb", kind="stable").to_dict("records"):
        label = line(run, row["stack"], row["path"]).label
        result.add_row(
            f"{row['buffer_kb']:g}",
            label,
            *(f"{row[name]:.0f}" for name in METRICS),
            f"{row['blocks']:.0f}",
            f"{row['n']}",
        )
    return result
