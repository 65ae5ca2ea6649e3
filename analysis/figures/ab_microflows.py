"""Requests per second against the size of the response, one line a stack."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich import box
from rich.table import Table

from analysis.load import Run
from analysis.metrics import ratio_to, summarise
from analysis.style import COLUMN_WIDTH_IN, look

REFERENCE = "kernel-tcp"
OURS, AB = "loadgen", "ab"


def summary(run: Run) -> pd.DataFrame:
    """Return n, mean and spread of requests/s for every stack, size and generator."""
    return summarise(run.passed, ["stack", "size_bytes", "generator"], "requests_per_s")


def draw(run: Run) -> Figure:
    """Return the figure: lines with our generator, hollow markers for ApacheBench against Apache."""
    rates = summary(run)
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 3.0))
    axes = figure.subplots()
    for stack in run.stacks:
        _draw_stack(axes, rates[rates["stack"] == stack], stack)
    sizes = sorted(rates["size_bytes"].unique())
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size / 1000:g}" for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("response size (kB)")
    axes.set_ylabel("requests/s")
    handles, _ = axes.get_legend_handles_labels()
    if (rates["generator"] == AB).any():
        hollow = Line2D([], [], linestyle="", marker="o", markerfacecolor="white", markeredgecolor="#555555")
        hollow.set_label("ab and Apache")
        handles.append(hollow)
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=2.6, columnspacing=1.2)
    axes.set_title(_caption(run, rates), fontsize=6.5, color="#444444")
    return figure


def _draw_stack(axes: Axes, rates: pd.DataFrame, stack: str) -> None:
    style = look(stack)
    ours = rates[rates["generator"] == OURS].sort_values("size_bytes")
    axes.errorbar(
        ours["size_bytes"], ours["mean"], yerr=ours["sd"], label=style.label, color=style.color,
        marker=style.marker, linestyle=style.linestyle, capsize=2, elinewidth=0.8,
    )  # fmt: skip
    check = rates[rates["generator"] == AB].sort_values("size_bytes")
    axes.errorbar(
        check["size_bytes"], check["mean"], yerr=check["sd"], color=style.color, marker=style.marker,
        linestyle="", markerfacecolor="white", markersize=6.5, markeredgewidth=0.8, elinewidth=0.5, zorder=1,
    )  # fmt: skip


def _caption(run: Run, rates: pd.DataFrame) -> str:
    parameters = run.parameters
    return (
        f"{parameters['paths']} links of {_rate(parameters['rate'])}, {parameters['concurrency']} requests at"
        f" once; mean ± sd, n = {_range(rates['n'])}"
    )


def _rate(bits_per_s: int) -> str:
    unit, name = (1e9, "Gbit/s") if bits_per_s >= 1e9 else (1e6, "Mbit/s")
    return f"{bits_per_s / unit:g} {name}"


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"


def table(run: Run) -> Table:
    """Return requests/s of all stacks by size, over kernel TCP's, with failures and ApacheBench's numbers."""
    rates = summary(run)
    rates["ratio"] = ratio_to(rates, rates["stack"] == REFERENCE, ["size_bytes", "generator"])
    rates = rates.set_index(["size_bytes", "stack", "generator"])
    result = Table(title=run.manifest["title"], box=box.SIMPLE_HEAD, caption=_caption(run, rates))
    for heading in ("size", "stack", "requests/s", f"x {look(REFERENCE).label}", "failed", "ab, Apache", "n"):
        result.add_column(heading, justify="left" if heading == "stack" else "right")
    for size in sorted(run.points["size_bytes"].unique()):
        for stack in run.stacks:
            result.add_row(*_row(run, rates, size, stack), end_section=stack == run.stacks[-1])
    return result


def _row(run: Run, rates: pd.DataFrame, size: int, stack: str) -> list[str]:
    points = run.points[(run.points["size_bytes"] == size) & (run.points["stack"] == stack)]
    ours, check = (size, stack, OURS), (size, stack, AB)
    measured = ours in rates.index
    return [
        f"{size / 1000:g} kB",
        look(stack).label,
        _mean(rates, ours) or _outcome(points),
        f"{rates.at[ours, 'ratio']:.2f}" if measured and pd.notna(rates.at[ours, "ratio"]) else "",
        _failed(points),
        _mean(rates, check),
        f"{rates.at[ours, 'n']}" if measured else "",
    ]


def _mean(rates: pd.DataFrame, key: tuple[int, str, str]) -> str:
    if key not in rates.index:
        return ""
    mean, sd = rates.at[key, "mean"], rates.at[key, "sd"]
    digits = 0 if mean >= 1000 else 1
    return f"{mean:,.{digits}f} ± {sd:,.{digits}f}"


def _outcome(points: pd.DataFrame) -> str:
    """Return how points that gave no number ended."""
    return ", ".join(points["outcome"].unique()) or "not measured"


def _failed(points: pd.DataFrame) -> str:
    """Return the number of failed requests of all repetitions, and of points that failed a check."""
    requests = int(points["failed"].fillna(0).sum()) if "failed" in points else 0
    checks = int((points["outcome"] == "failed").sum())
    return f"{requests}" + (f" ({checks} failed points)" if checks else "")
