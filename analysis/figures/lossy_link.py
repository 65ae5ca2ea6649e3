"""Goodput against the share of lost packets, a line a stack and congestion control, below the bound for Reno."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from rich import box
from rich.table import Table

from analysis import networks
from analysis.load import Run
from analysis.metrics import bars, counted, ratio_to, summarise
from analysis.style import COLUMN_WIDTH_IN, aside, look

METRICS = ("throughput_bps",)
"""What it shows of the results, by name (see analysis.compare)."""

KERNEL = "kernel-tcp"
_PAYLOAD_SHARE = 1448 / 1514
"""Of a full frame of Ethernet without checksum: what the experiment's bound is at most."""
_ROOM = 1.6
"""From the outermost losses to the edges, a factor."""


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
    """Return the figure: goodput over loss, both logarithmic; no loss, which has no place there, in a panel beside."""
    rates = summary(run)
    losses = sorted(loss for loss in rates["loss"].unique() if loss)
    without = bool((rates["loss"] == 0).any())
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 2.9))
    widths = [1.0] * without + [0.9 + len(losses)] * bool(losses)
    panels = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
    for axes, lossy in zip(panels, [False] * without + [True] * bool(losses), strict=True):
        for place, stack in enumerate(run.stacks):
            rows = rates[(rates["stack"] == stack) & ((rates["loss"] > 0) == lossy)]
            _draw_stack(axes, rows, run, stack, place)
        _draw_bound(axes, run, losses if lossy else [])
    panels[0].set_ylabel("goodput (Mbit/s)")
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panels[0].yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
    if without:
        panels[0].set_xticks([0], ["0"])
        panels[0].set_xlim(-1, 1)
    if losses:
        panels[-1].set_xscale("log")
        panels[-1].set_xticks(losses, [f"{loss * 100:g}" for loss in losses])
        panels[-1].xaxis.set_minor_locator(NullLocator())
        panels[-1].set_xlim(losses[0] / _ROOM, losses[-1] * _ROOM)
    figure.supxlabel(f"lost packets (%); {counted(rates)}", fontsize=8)
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, columnspacing=1.2)
    return figure


def bound_mbit_per_s(run: Run, losses: np.ndarray) -> np.ndarray:
    """Return the bound at other losses than were measured: it goes with 1 / sqrt(loss), up to what the link carries."""
    rates = summary(run)
    link = networks.slowest_bps(run, run.parameters.get("rate", np.inf)) / 1e6 * _PAYLOAD_SHARE
    lossy = rates[(rates["loss"] > 0) & (rates["bound"] < 0.999 * link)]
    if lossy.empty:
        return np.full_like(losses, link)
    return np.minimum(link, (lossy["bound"] * np.sqrt(lossy["loss"])).iloc[0] / np.sqrt(losses))


def _draw_bound(axes: Axes, run: Run, losses: list[float]) -> None:
    look_of_it = {"linestyle": ":", "color": "#555555", "linewidth": 1.0, "label": "bound (Mathis; the link)"}
    if losses:
        places = np.geomspace(losses[0] / _ROOM, losses[-1] * _ROOM, 200)
        axes.plot(places, bound_mbit_per_s(run, places), **look_of_it)
    else:
        axes.axhline(summary(run)["bound"].max(), **look_of_it)


def _draw_stack(axes: Axes, rates: pd.DataFrame, run: Run, stack: str, place: int) -> None:
    """Draw a stack's rates. They are not joined: nothing was measured in between."""
    controls = list(dict.fromkeys(one.partition("@")[2] for one in run.stacks))
    style = look(stack)
    first = stack.partition("@")[2] == controls[0]
    drawn = axes.errorbar(
        rates["loss"], rates["mean"], yerr=bars(rates), label=style.label, color=style.color,
        marker=style.marker, linestyle="", markerfacecolor=style.color if first else "white", markersize=3.5,
        capsize=3, elinewidth=0.8, capthick=0.8,
    )  # fmt: skip
    aside(axes, drawn.get_children(), place, len(run.stacks), 4)


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
