"""Goodput against the share of lost packets, a line a stack and congestion control, below the bound for Reno."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from rich.table import Table

from analysis import networks, panels, tables
from analysis.load import Run
from analysis.metrics import counted, paired_interval, ratio_to, spread, summarise
from analysis.style import GREY, look

METRICS = ("throughput_bps",)

KERNEL = "kernel-tcp"
_PAYLOAD_SHARE = 1448 / 1514
"""Of a full frame of Ethernet without checksum: what the experiment's bound is at most."""
_ROOM = 1.6
"""From the outermost losses to the edges, a factor."""


def summary(run: Run) -> pd.DataFrame:
    """Return n, mean and spread in Mbit/s by loss and stack, the bound, and the ratio to the kernel's TCP.

    A stack is compared with the kernel's under the same congestion control. `within`: half of the 95 % interval of that
    ratio, of pairs: in a repetition all stacks meet the same losses, which explain nearly all of the spread.
    """
    points = run.passed.assign(
        mbit_per_s=run.passed["throughput_bps"] / 1e6, congestion=run.passed["stack"].str.partition("@")[2]
    )
    rates = summarise(points, ["loss", "congestion", "stack"], "mbit_per_s")
    rates["over_kernel"] = ratio_to(rates, rates["stack"].str.startswith(f"{KERNEL}@"), ["loss", "congestion"])
    bounds = points.groupby("loss")["bound_bps"].first() / 1e6
    by, kernels = ["loss", "congestion"], points["stack"].str.startswith(f"{KERNEL}@")
    within = paired_interval(points, by, "mbit_per_s", kernels).rename("within")
    return rates.assign(bound=rates["loss"].map(bounds)).join(within, on=[*by, "stack"])


def draw(run: Run) -> Figure:
    """Return the figure: goodput over loss, both logarithmic; no loss, which has no place there, in a panel beside."""
    rates = summary(run)
    losses = sorted(loss for loss in rates["loss"].unique() if loss)
    without = bool((rates["loss"] == 0).any())
    widths = [1.0] * without + [0.9 + len(losses)] * bool(losses)
    figure, parts = panels.row(len(widths), 2.9, width_ratios=widths)
    for axes, lossy in zip(parts, [False] * without + [True] * bool(losses), strict=True):
        for number, stack in enumerate(run.stacks):
            rows = rates[(rates["stack"] == stack) & ((rates["loss"] > 0) == lossy)]
            _draw_stack(axes, rows, run, stack, number)
        _draw_bound(axes, run, losses if lossy else [])
    panels.logarithmic(parts[0], "y", (1, 2, 5))
    parts[0].set_ylabel("goodput (Mbit/s)")
    if without:
        parts[0].set_xticks([0], ["0"])
        parts[0].set_xlim(-1, 1)
    if losses:
        parts[-1].set_xscale("log")
        parts[-1].set_xticks(losses, [f"{loss * 100:g}" for loss in losses])
        parts[-1].xaxis.set_minor_locator(NullLocator())
        parts[-1].set_xlim(losses[0] / _ROOM, losses[-1] * _ROOM)
    figure.supxlabel(f"lost packets (%); {counted(rates)}", fontsize=8)
    panels.legend(figure)
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
    look_of_it = {"linestyle": ":", "color": GREY, "linewidth": 1.0, "label": "bound (Mathis; the link)"}
    if losses:
        places = np.geomspace(losses[0] / _ROOM, losses[-1] * _ROOM, 200)
        axes.plot(places, bound_mbit_per_s(run, places), **look_of_it)
    else:
        axes.axhline(summary(run)["bound"].max(), **look_of_it)


def _draw_stack(axes: Axes, rates: pd.DataFrame, run: Run, stack: str, number: int) -> None:
    """Draw a stack's rates. They are not joined: nothing was measured in between."""
    first_control, control = (one.partition("@")[2] for one in (run.stacks[0], stack))
    style = look(stack)
    panels.line(
        axes, rates["loss"], rates["mean"], style, spread(rates), (number, len(run.stacks)), 4, linestyle="",
        label=style.label, markerfacecolor=style.color if control == first_control else "white", markersize=3.5,
    )  # fmt: skip


def table(run: Run) -> Table:
    """Return Mbit/s by loss and stack, the bound, and the ratio to the kernel's TCP with its interval, of pairs."""
    result = tables.table(run.manifest["title"], ("loss", "stack", "Mbit/s", "bound", "x kernel", "± 95 %", "n"))
    for row in summary(run).itertuples():
        rate = tables.number(row.mean, row.sd, row.n)
        ratio = f"{row.over_kernel:.2f}" if pd.notna(row.over_kernel) else ""
        within = f"{row.within:.2f}" if row.within > 0 else ""
        result.add_row(f"{row.loss:.1%}", look(row.stack).label, rate, f"{row.bound:.2f}", ratio, within, f"{row.n}")
    return result
