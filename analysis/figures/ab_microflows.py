"""Requests per second against the size of the response, one line a stack."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator
from rich import box
from rich.table import Table

from analysis.load import Run
from analysis.metrics import ratio_to, summarise
from analysis.style import COLUMN_WIDTH_IN, look

METRICS = ("requests_per_s",)
"""What it shows of the results, by name (see analysis.compare)."""

REFERENCE = "kernel-tcp"
OURS, AB = "loadgen", "ab"


def summary(run: Run) -> pd.DataFrame:
    """Return n, mean and spread of requests/s for every stack, size and generator."""
    return summarise(run.passed, ["stack", "size_bytes", "generator"], "requests_per_s")


def over_reference(run: Run) -> pd.DataFrame:
    """Return requests/s over those of kernel TCP: a row a size, a column a stack; NaN without kernel TCP."""
    rates = summary(run)
    rates = rates[rates["generator"] == OURS]
    rates = rates.assign(ratio=ratio_to(rates, rates["stack"] == REFERENCE, ["size_bytes"]))
    return rates.pivot(index="size_bytes", columns="stack", values="ratio").reindex(columns=run.stacks)


def draw(run: Run) -> Figure:
    """Return the figure: lines with our generator, hollow markers for ApacheBench against Apache."""
    rates = summary(run)
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 3.2))
    axes = figure.subplots()
    for stack in run.stacks:
        _draw_stack(axes, rates[rates["stack"] == stack], stack)
    sizes = sorted(rates["size_bytes"].unique())
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size / 1000:g}" for size in sizes])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.minorticks_off()
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
    parameters, checked = run.parameters, _repetitions(rates, AB)
    return (
        f"{parameters['paths']} x {_rate(parameters['rate'])}, {parameters['concurrency']} at once;"
        f" mean ± sd, n = {_repetitions(rates, OURS)}{f' (ab: {checked})' if checked else ''}"
    )


def _rate(bits_per_s: int) -> str:
    unit, name = (1e9, "Gbit/s") if bits_per_s >= 1e9 else (1e6, "Mbit/s")
    return f"{bits_per_s / unit:g} {name}"


def _repetitions(rates: pd.DataFrame, generator: str) -> str:
    """Return the number of repetitions behind each mean: "3", "2 to 3" or, without any, nothing."""
    counts = sorted({int(count) for count in rates[rates["generator"] == generator]["n"]})
    return " to ".join(dict.fromkeys(str(count) for count in (*counts[:1], *counts[-1:])))


def table(run: Run) -> Table:
    """Return requests/s by size and stack, ratios to kernel TCP, failures, and ApacheBench's numbers."""
    rates = summary(run)
    rates["ratio"] = ratio_to(rates, rates["stack"] == REFERENCE, ["size_bytes", "generator"])
    result = Table(
        title=run.manifest["title"],
        box=box.SIMPLE_HEAD,
        caption=_caption(run, rates),
        pad_edge=False,
        collapse_padding=True,
    )
    rates = rates.set_index(["size_bytes", "stack", "generator"])
    for heading in ("size", "stack", "requests/s", "x TCP", "failed", "ab, Apache", "n"):
        result.add_column(heading, justify="left" if heading == "stack" else "right", no_wrap=True)
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
    spread = f" ± {sd:,.{digits}f}" if rates.at[key, "n"] > 1 else ""
    return f"{mean:,.{digits}f}{spread}"


def _outcome(points: pd.DataFrame) -> str:
    """Return how points that gave no number ended."""
    return ", ".join(points["outcome"].unique()) or "not measured"


def _failed(points: pd.DataFrame) -> str:
    """Return the number of failed requests over all repetitions."""
    return str(int(points["failed"].fillna(0).sum())) if "failed" in points else ""
