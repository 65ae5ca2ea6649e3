"""Goodput against the share of lost packets, a line a stack and congestion control, below the bound for Reno."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from analysis.load import Run
from analysis.metrics import ratio_to, summarise
from analysis.style import COLUMN_WIDTH_IN, look

METRICS = ("throughput_bps",)
"""What it shows of the results, by name (see analysis.compare)."""

KERNEL = "kernel-tcp"


def summary(run: Run) -> pd.DataFrame:
    """Return n, mean and spread in Mbit/s by loss and stack, the bound, and the ratio to the kernel's TCP.

    A stack is compared with the kernel's under the same congestion control.
    """
    points = run.passed.assign(
        mbit_per_s=run.passed["throughput_bps"] / 1e6, congestion=run.passed["stack"].str.partition("@")[2]
    )
    rates = summarise(points, ["loss", "congestion", "stack"], "mbit_per_s")
    rates["over_kernel"] = ratio_to(rates, rates["stack"].str.startswith(f"{KERNEL}@"), ["loss", "congestion"])
    bounds = points.groupby("loss")["bound_bps"].first() / 1e6
    return rates.assign(bound=rates["loss"].map(bounds))


def draw(run: Run) -> Figure:
    """Return the figure: goodput over loss, both logarithmic; no loss at the left edge."""
    rates = summary(run)
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 2.8))
    axes = figure.subplots()
    losses = sorted(rates["loss"].unique())
    places = {loss: index for index, loss in enumerate(losses)}
    controls = list(dict.fromkeys(rates["congestion"]))
    for stack in run.stacks:
        _draw_stack(axes, rates[rates["stack"] == stack], stack, places, controls)
    bounds = rates.groupby("loss")["bound"].first()
    axes.plot([places[loss] for loss in losses], bounds[losses], ":", color="#555555", label="bound (Mathis)")
    axes.set_xticks(range(len(losses)), [f"{loss * 100:g}" for loss in losses])
    axes.set_xlabel("lost packets (%)")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
    axes.set_ylabel("goodput (Mbit/s)")
    figure.legend(loc="outside upper left", ncols=2, columnspacing=1.2)
    return figure


def _draw_stack(axes: Axes, rates: pd.DataFrame, stack: str, places: dict[float, int], controls: list[str]) -> None:
    rates = rates.sort_values("loss")
    style = look(stack)
    first = stack.partition("@")[2] == controls[0]
    axes.errorbar(
        [places[loss] for loss in rates["loss"]], rates["mean"], yerr=rates["sd"], label=style.label,
        color=style.color, marker=style.marker, linestyle="-" if first else "--",
        markerfacecolor=style.color if first else "white", capsize=2, elinewidth=0.8,
    )  # fmt: skip


def table(run: Run) -> Table:
    """Return Mbit/s by loss and stack, with the bound and the ratio to the kernel's TCP."""
    result = Table(title=run.manifest["title"], box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("loss", "stack", "Mbit/s", "bound", "x kernel", "n"):
        result.add_column(heading, justify="left" if heading == "stack" else "right", no_wrap=True)
    for row in summary(run).itertuples():
        spread = f" ± {row.sd:.2f}" if row.n > 1 else ""
        ratio = f"{row.over_kernel:.2f}" if pd.notna(row.over_kernel) else ""
        result.add_row(
            f"{row.loss:.1%}", look(row.stack).label, f"{row.mean:.2f}{spread}", f"{row.bound:.2f}", ratio, f"{row.n}"
        )
    return result
