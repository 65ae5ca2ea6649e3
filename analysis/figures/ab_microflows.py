"""Requests per second against the size of the response, one line a stack; where MPTCP overtakes TCP."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator
from rich import box
from rich.table import Table

from analysis.load import Run
from analysis.metrics import Crossover, crossover, ratio_to, summarise
from analysis.style import COLUMN_WIDTH_IN, look

METRICS = ("requests_per_s",)
"""What it shows of the results, by name (see analysis.compare)."""

REFERENCE = "kernel-tcp"
OURS, AB = "loadgen", "ab"
EQUAL, UNEQUAL = "equal", "unequal"
PAIRS = {"kernel": ("kernel-mptcp", "kernel-tcp"), "Python": ("python-mptcp", "python-tcp")}
"""MPTCP and the TCP that it is compared with, each of one making."""

_GREY = "#555555"
_FURTHER = ["requests", "cores_busy_share", "cpu_bound"]
_KEY = ["links", "size_bytes", "generator"]


def summary(run: Run) -> pd.DataFrame:
    """Return n, mean and spread of requests/s for every kind of links, stack, size and generator.

    Also the means of the `requests` made and of the share of all cores that was busy (`cores_busy_share`), and whether
    that was the limit in most repetitions (`cpu_bound`).
    """
    points, by = _with_links(run.passed), ["stack", *_KEY]
    rates = summarise(points, by, "requests_per_s")
    further = points.reindex(columns=[*by, *_FURTHER]).astype(dict.fromkeys(_FURTHER, float))
    means = further.groupby(by)[_FURTHER].mean().reset_index()
    means["cpu_bound"] = means["cpu_bound"] > 0.5
    return rates.merge(means, on=by)


def crossovers(run: Run, links: str) -> dict[str, Crossover]:
    """Return by making the size from which on MPTCP makes more requests/s than TCP, repetition by repetition."""
    points = _with_links(run.passed)
    points = points[(points["links"] == links) & (points["generator"] == OURS)]
    rates = points.pivot_table("requests_per_s", "size_bytes", ["stack", "repetition"]).sort_index()
    stacks = set(points["stack"])
    found = {}
    for making, (mptcp, tcp) in PAIRS.items():
        if {mptcp, tcp} <= stacks:
            ratios = (rates[mptcp] / rates[tcp]).dropna(axis="columns")
            if len(ratios) > 1 and not ratios.empty:
                found[making] = crossover(ratios)
    return found


def over_reference(run: Run) -> pd.DataFrame:
    """Return requests/s over those of kernel TCP, on equal links: a row a size, a column a stack; NaN without it."""
    rates = summary(run)
    rates = rates[(rates["generator"] == OURS) & (rates["links"] == EQUAL)]
    rates = rates.assign(ratio=ratio_to(rates, rates["stack"] == REFERENCE, ["size_bytes"]))
    return rates.pivot(index="size_bytes", columns="stack", values="ratio").reindex(columns=run.stacks)


def draw(run: Run) -> Figure:
    """Return the figure: lines with our generator, hollow markers for ApacheBench against Apache."""
    rates = summary(run)
    kinds = [kind for kind in (EQUAL, UNEQUAL) if (rates["links"] == kind).any()]
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 1.0 + 2.3 * len(kinds)))
    panels = figure.subplots(len(kinds), squeeze=False, sharex=True)[:, 0]
    for kind, axes in zip(kinds, panels, strict=True):
        _draw_panel(run, axes, rates[rates["links"] == kind], kind)
    sizes = sorted(rates["size_bytes"].unique())
    panels[-1].set_xticks(sizes, [f"{size / 1000:g}" for size in sizes])
    panels[-1].set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
    panels[-1].set_xlabel("response size (kB)")
    handles, _ = panels[0].get_legend_handles_labels()
    figure.legend(
        handles=[*handles, *_signs(rates)], loc="outside upper left", ncols=2, handlelength=2.6, columnspacing=1.2
    )
    figure.supxlabel(_caption(run, rates), fontsize=6, color=_GREY, x=0.02, ha="left")
    return figure


def _draw_panel(run: Run, axes: Axes, rates: pd.DataFrame, kind: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for stack in run.stacks:
        _draw_stack(axes, rates[rates["stack"] == stack], stack)
    for making, found in crossovers(run, kind).items():
        if found.at is not None:
            axes.axvline(found.at, color=look(PAIRS[making][0]).color, linewidth=0.7, linestyle=":")
        low, high = found.interval or (0.0, math.inf)
        if low > rates["size_bytes"].min() or high < rates["size_bytes"].max():  # else it says nothing
            axes.axvspan(low, high, color=look(PAIRS[making][0]).color, alpha=0.12, linewidth=0)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.minorticks_off()
    axes.set_ylabel("requests/s")
    axes.set_title(_links(run, kind), fontsize=7, loc="left")


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
    busy = ours[ours["cpu_bound"]]
    axes.plot(busy["size_bytes"], busy["mean"], **_RING)


_RING = {"linestyle": "", "marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgecolor": "#888888"}


def _signs(rates: pd.DataFrame) -> list[Line2D]:
    """Return legend entries for the markers that there are."""
    signs = []
    if (rates["generator"] == AB).any():
        hollow = {"linestyle": "", "marker": "o", "markerfacecolor": "white", "markeredgecolor": _GREY}
        signs.append(Line2D([], [], label="ab and Apache", **hollow))
    if rates["cpu_bound"].any():
        signs.append(Line2D([], [], label="processor-bound", **_RING))
    return signs


def _caption(run: Run, rates: pd.DataFrame) -> str:
    parameters, checked = run.parameters, _repetitions(rates, AB)
    limit = f", at most {parameters['seconds']:g} s a point" if "seconds" in parameters else ""
    return (
        f"{parameters['concurrency']} at once{limit};"
        f" mean ± sd, n = {_repetitions(rates, OURS)}{f' (ab: {checked})' if checked else ''}"
    )


def _links(run: Run, kind: str) -> str:
    """Return what the links are: "2 x 1 Gbit/s"."""
    parameters, paths = run.parameters, int(run.parameters["paths"])
    if kind == EQUAL:
        return f"{paths} x {_rate(parameters['rate'])}"
    delay_ms = parameters.get("slow_delay", 0) / 1e6
    slow = f"{_rate(parameters['slow_rate'])}{f' later by {delay_ms:g} ms' if delay_ms else ''}"
    return f"{f'{paths - 1} x ' if paths > 2 else ''}{_rate(parameters['rate'])} and {slow}"


def _rate(bits_per_s: int) -> str:
    unit, name = (1e9, "Gbit/s") if bits_per_s >= 1e9 else (1e6, "Mbit/s")
    return f"{bits_per_s / unit:g} {name}"


def _repetitions(rates: pd.DataFrame, generator: str) -> str:
    """Return the number of repetitions behind each mean: "3", "2 to 3" or, without any, nothing."""
    counts = sorted({int(count) for count in rates[rates["generator"] == generator]["n"]})
    return " to ".join(dict.fromkeys(str(count) for count in (*counts[:1], *counts[-1:])))


def table(run: Run) -> Table:
    """Return requests/s by links, size and stack, ratios to kernel TCP, requests made, and ApacheBench's numbers."""
    rates, points = summary(run), _with_links(run.points)
    rates["ratio"] = ratio_to(rates, rates["stack"] == REFERENCE, _KEY)
    kinds = [kind for kind in (EQUAL, UNEQUAL) if (points["links"] == kind).any()]
    result = Table(
        title=run.manifest["title"],
        box=box.SIMPLE_HEAD,
        caption="\n".join([_caption(run, rates), *_notes(run, kinds)]),
        pad_edge=False,
        collapse_padding=True,
    )
    rates = rates.set_index(["links", "size_bytes", "stack", "generator"])
    for heading in ("size", "stack", "requests/s", "x TCP", "made", "cores", "ab, Apache"):
        result.add_column(heading, justify="left" if heading == "stack" else "right", no_wrap=True)
    for kind in kinds:
        of_kind = points[points["links"] == kind]
        result.add_row("", f"{kind} links", end_section=True)
        for size in sorted(of_kind["size_bytes"].unique()):
            for stack in run.stacks:
                chosen = of_kind[(of_kind["size_bytes"] == size) & (of_kind["stack"] == stack)]
                result.add_row(*_row(chosen, rates, (kind, size, stack)), end_section=stack == run.stacks[-1])
    return result


def _notes(run: Run, kinds: list[str]) -> list[str]:
    """Return what the links are, where MPTCP overtakes TCP, and what the columns mean."""
    lines = [f"{kind} links: {_links(run, kind)}" for kind in kinds]
    lines += [
        f"MPTCP overtakes TCP ({making}, {kind} links): {found.text('kB', 1000)}"
        for kind in kinds
        for making, found in crossovers(run, kind).items()
    ]
    if "cores_busy_share" in run.points:
        lines.append(
            f"made: requests in the time there was, of {run.parameters['requests']:,}; cores: busy share of all cores,"
            " * when they were the limit"
        )
    return lines


def _row(points: pd.DataFrame, rates: pd.DataFrame, at: tuple[str, int, str]) -> list[str]:
    _, size, stack = at
    ours, check = (*at, OURS), (*at, AB)
    measured = ours in rates.index

    def cell(column: str, text: str) -> str:
        value = rates.at[ours, column] if measured else None
        return text.format(value) if pd.notna(value) else ""

    return [
        f"{size / 1e6:g} MB" if size >= 1e6 else f"{size / 1000:g} kB",
        look(stack).label,
        _mean(rates, ours) or _outcome(points),
        cell("ratio", "{:.2f}"),
        ", ".join(filter(None, (cell("requests", "{:,.0f}"), _failed(points)))),
        cell("cores_busy_share", "{:.0%}") + ("*" if measured and rates.at[ours, "cpu_bound"] else ""),
        _mean(rates, check),
    ]


def _with_links(points: pd.DataFrame) -> pd.DataFrame:
    """Return `points` with the column `links`, which results of equal links alone may lack."""
    return points if "links" in points else points.assign(links=EQUAL)


def _mean(rates: pd.DataFrame, key: tuple[str, int, str, str]) -> str:
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
    """Return the number of failed requests over all repetitions, if any."""
    failed = int(points["failed"].fillna(0).sum()) if "failed" in points else 0
    return f"{failed:,} failed" if failed else ""
