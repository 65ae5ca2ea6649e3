"""Time to set up a connection against the number of open ones: at the server's interface and at the client."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from analysis import panels, tables
from analysis.load import Run
from analysis.style import look

PANELS = {"answer": "SYN to SYN/ACK,\nat the server (µs)", "connect": "connect(),\nat the client (µs)"}
METRICS = tuple(f"{name}_{one}_us" for name in PANELS for one in ("median", "p95"))

_PERCENTILES = ("p5", "p25", "median", "p75", "p95")
_KEYS = ["stack", "open"]


def draw(run: Run) -> Figure:
    """Return the figure: medians, boxes from quarter to quarter, and lines from the 5th to the 95th percentile."""
    figure, both = panels.column(len(PANELS), 3.6)
    counts = sorted(run.passed["open"].unique())
    for axes, (name, label) in zip(both, PANELS.items(), strict=True):
        for number, stack in enumerate(run.stacks):
            _draw_stack(axes, run, name, stack, panels.shift(number, len(run.stacks), 0.17), counts)
        panels.logarithmic(axes, "y", (1, 2, 5))
        axes.set_ylabel(label)
        axes.grid(visible=False, axis="x")
    both[-1].set_xticks(range(len(counts)), [f"{count:,}" for count in counts])
    both[-1].set_xlabel("connections open")
    n = run.parameters["samples"] * int(run.passed.groupby(_KEYS).size().max())
    panels.foot(figure, f"median, quartiles (thick), 5th and 95th percentile (thin) of n = {n:,}")
    panels.legend(figure)
    return figure


def _draw_stack(axes: Axes, run: Run, name: str, stack: str, shift: float, counts: list[int]) -> None:
    # Percentiles of repetitions: their means.
    means = run.passed.groupby(_KEYS)[[f"{name}_{one}_us" for one in _PERCENTILES]].mean()
    means.columns = list(_PERCENTILES)
    here = means.loc[stack] if stack in means.index.get_level_values(0) else means.iloc[:0]
    places = [counts.index(count) + shift for count in here.index]
    style = look(stack)
    panels.ranges(axes, places, here["p5"], here["p95"], style, upright=True)
    panels.ranges(axes, places, here["p25"], here["p75"], style, upright=True, linewidth=6, alpha=0.45)
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.3}
    panels.marks(axes, places, here["median"], style, upright=True, label=style.label, **edge)


def table(run: Run) -> Table:
    """Return medians and 95th percentiles by stack and number of open connections."""
    headings = "stack", "open", "answer, µs", "p95", "connect, µs", "p95", "n"
    result = tables.table(run.manifest["title"], headings)
    groups = run.passed.groupby(_KEYS, sort=False)
    for (stack, count), row in groups[list(METRICS)].mean().iterrows():  # type: ignore[misc]
        n = len(groups.get_group((stack, count))) * run.parameters["samples"]
        result.add_row(look(stack).label, f"{count:,}", *(f"{value:.0f}" for value in row), f"{n:,}")
    return result
