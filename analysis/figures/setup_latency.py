"""Time to set up a connection against the number of open ones: at the server's interface and at the client."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from rich import box
from rich.table import Table

from analysis.load import Run
from analysis.style import COLUMN_WIDTH_IN, look

PANELS = {"answer": "SYN to SYN/ACK,\nat the server (µs)", "connect": "connect(),\nat the client (µs)"}
METRICS = tuple(f"{name}_{one}_us" for name in PANELS for one in ("median", "p95"))
"""What it shows of the results, by name (see analysis.compare)."""

_PERCENTILES = ("p5", "p25", "median", "p75", "p95")
_KEYS = ["stack", "open"]


def draw(run: Run) -> Figure:
    """Return the figure: medians, boxes from quarter to quarter, and lines from the 5th to the 95th percentile."""
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 3.6))
    panels = figure.subplots(len(PANELS), 1, sharex=True)
    counts = sorted(run.passed["open"].unique())
    for axes, (name, label) in zip(panels, PANELS.items(), strict=True):
        for number, stack in enumerate(run.stacks):
            _draw_stack(axes, run, name, stack, 0.17 * (number - (len(run.stacks) - 1) / 2), counts)
        axes.set_ylabel(label)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=False, axis="x")
    panels[-1].set_xticks(range(len(counts)), [f"{count:,}" for count in counts])
    panels[-1].set_xlabel("connections open")
    n = run.parameters["samples"] * int(run.passed.groupby(_KEYS).size().max())
    caption = f"median, quartiles (thick), 5th and 95th percentile (thin) of n = {n:,}"
    figure.supxlabel(caption, fontsize=6.5, color="#444444")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, columnspacing=1.2)
    return figure


def _draw_stack(axes: Axes, run: Run, name: str, stack: str, shift: float, counts: list[int]) -> None:
    # Percentiles of repetitions: their means.
    means = run.passed.groupby(_KEYS)[[f"{name}_{one}_us" for one in _PERCENTILES]].mean()
    means.columns = list(_PERCENTILES)
    here = means.loc[stack] if stack in means.index.get_level_values(0) else means.iloc[:0]
    places = [counts.index(count) + shift for count in here.index]
    style = look(stack)
    axes.vlines(places, here["p5"], here["p95"], color=style.color, linewidth=0.8)
    axes.vlines(places, here["p25"], here["p75"], color=style.color, linewidth=6, alpha=0.45)
    axes.plot(places, here["median"], linestyle="none", marker=style.marker, color=style.color,
              markeredgecolor="white", markeredgewidth=0.3, markersize=3.5, label=style.label)  # fmt: skip


def table(run: Run) -> Table:
    """Return medians and 95th percentiles by stack and number of open connections."""
    result = Table(title=run.manifest["title"], box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    columns = [f"{name}_{percentile}_us" for name in PANELS for percentile in ("median", "p95")]
    for heading in ("stack", "open", "answer, µs", "p95", "connect, µs", "p95", "n"):
        result.add_column(heading, justify="left" if heading == "stack" else "right", no_wrap=True)
    groups = run.passed.groupby(_KEYS, sort=False)
    for (stack, count), row in groups[columns].mean().iterrows():  # type: ignore[misc]
        n = len(groups.get_group((stack, count))) * run.parameters["samples"]
        result.add_row(look(stack).label, f"{count:,}", *(f"{value:.0f}" for value in row), f"{n:,}")
    return result
