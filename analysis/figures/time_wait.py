"""How many connections each end was left with in TIME-WAIT."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from analysis.load import Run
from analysis.metrics import summarise
from analysis.style import COLUMN_WIDTH_IN, look

METRICS = ("subflows", "client_time_wait", "server_time_wait")
"""What it shows of the results, by name (see analysis.compare)."""

_HEIGHT = 0.36
_ENDS = {"client": "#d55e00", "server": "#999999"}


def summary(run: Run) -> pd.DataFrame:
    """Return the means of subflows made and of those in TIME-WAIT at either end, by stack."""
    columns = ["subflows", *(f"{end}_time_wait" for end in _ENDS)]
    return run.passed.groupby("stack", sort=False, as_index=False)[columns].mean().merge(_repetitions(run), on="stack")


def _repetitions(run: Run) -> pd.DataFrame:
    return summarise(run.passed, ["stack"], "subflows")[["stack", "n"]]


def draw(run: Run) -> Figure:
    """Return the figure: a bar an end of each stack."""
    counts = summary(run)
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 0.9 + 0.35 * len(counts)))
    axes = figure.subplots()
    for shift, (end, color) in zip((-0.5, 0.5), _ENDS.items(), strict=True):
        places = [place + shift * _HEIGHT for place in range(len(counts))]
        bars = axes.barh(places, counts[f"{end}_time_wait"], _HEIGHT * 0.9, color=color, label=end)
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=6.5)
    axes.margins(x=0.12)
    axes.set_yticks(range(len(counts)), [_label(stack) for stack in counts["stack"]])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"in TIME-WAIT after {run.parameters['requests']:,} requests")
    figure.legend(loc="outside upper left", ncols=2, columnspacing=1.2)
    return figure


def table(run: Run) -> Table:
    """Return subflows made and those in TIME-WAIT at either end, by stack."""
    result = Table(title=run.manifest["title"], box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("stack", "subflows", "at the client", "at the server", "n"):
        result.add_column(heading, justify="left" if heading == "stack" else "right", no_wrap=True)
    for row in summary(run).itertuples():
        result.add_row(
            _label(row.stack), f"{row.subflows:.0f}", f"{row.client_time_wait:.0f}", f"{row.server_time_wait:.0f}",
            f"{row.n}",
        )  # fmt: skip
    return result


def _label(stack: str) -> str:
    """Return the name of a stack, with the settings that were added to it."""
    name, *settings = stack.split("+")
    return ", ".join([look(name).label, *settings])
