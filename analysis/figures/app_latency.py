"""Delays of blocks from write to delivery, by size of the buffers: median, two percentiles and the largest.

Their distributions are a figure of its own, as in the paper.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.table import Table

from analysis import distributions, panels, tables
from analysis.figures.receive_buffer import MECHANISMS, line
from analysis.load import Run
from analysis.metrics import counted
from analysis.style import INK

METRICS = tuple(f"download_delay_ms_p{percentile}" for percentile in (50, 95, 99, 100))

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
    figure, of_sizes = panels.column(len(sizes), 0.9 + len(sizes) * (0.35 + 0.19 * rows))
    for axes, size in zip(of_sizes, sizes, strict=True):
        of_size = delays[delays["buffer_kb"] == size].to_dict("records")
        looks = [line(run, row["stack"], row["path"]) for row in of_size]
        for place, (row, style) in enumerate(zip(of_size, looks, strict=True)):
            panels.ranges(axes, [place], row[METRICS[0]], row[METRICS[-1]], style)
            for name, (_, marker) in _MARKS.items():
                if name != METRICS[-1]:  # that is where the line ends
                    panels.marks(axes, [place], [row[name]], style, marker=marker)
        panels.rows(axes, [style.label for style in looks])
        axes.set_title(f"buffers of {size:g} kB")
    panels.logarithmic(of_sizes[-1], "x", (1, 2, 5))
    of_sizes[-1].set_xlabel(f"delay of a block (ms); {counted(delays, 'means')}")
    handles = [Line2D([], [], marker=marker, linestyle="", color=INK, label=name) for name, marker in _MARKS.values()]
    handles[-1] = Line2D([], [], color=INK, linewidth=0.8, label="to the largest")
    panels.legend(figure, handles, 4, handletextpad=0.2)
    panels.foot(figure, f"Python MPTCP: {MECHANISMS}")
    return figure


def draw_latencies(run: Run) -> Figure | None:
    """Return the distributions of the blocks' delays: a panel a size of the buffers, a curve a stack and path."""
    return distributions.draw(
        run, panels=["buffer_kb"], title=lambda key: f"buffers of {key['buffer_kb']:g} kB", lines=["stack", "path"],
        line=lambda key: line(run, key["stack"], key["path"]),
    )  # fmt: skip


def table(run: Run) -> Table:
    """Return the marks in ms by size of the buffers, stack and path."""
    headings = "kB", "stack", *(name for name, _ in _MARKS.values()), "blocks", "n"
    result = tables.table(run.manifest["title"], headings, caption=f"in ms; {MECHANISMS}")
    for row in summary(run).sort_values("buffer_kb", kind="stable").to_dict("records"):
        label = line(run, row["stack"], row["path"]).label
        marks = (f"{row[name]:.0f}" for name in METRICS)
        result.add_row(f"{row['buffer_kb']:g}", label, *marks, f"{row['blocks']:.0f}", f"{row['n']}")
    return result
