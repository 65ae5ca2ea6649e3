"""Requests per second against the size of the response, one line a stack; where MPTCP overtakes TCP.

Where it does is a bracket at the bottom, between two of the sizes measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator
from rich import box
from rich.table import Table

from analysis import distributions, networks
from analysis.load import Run
from analysis.metrics import Crossover, bars, counted, crossover, ratio_to, summarise
from analysis.style import COLUMN_WIDTH_IN, aside, key, look

METRICS = ("requests_per_s",)
"""What it shows of the results, by name (see analysis.compare)."""

REFERENCE = "kernel-tcp"
OURS, AB = "loadgen", "ab"
EQUAL, UNEQUAL = "equal", "unequal"
PAIRS = {"kernel": ("kernel-mptcp", "kernel-tcp"), "Python": ("python-mptcp", "python-tcp")}
"""MPTCP and the TCP that it is compared with, each of one making."""

BOUND = 0.9
"""Share of the time for which a program's busiest thread ran or waited for a core: from here on it was the limit."""

_GREY = "#555555"
_ROOM = 1.4
"""From the outermost sizes to the edges, a factor: markers stand aside."""
_FURTHER = ["requests", "busiest_thread_share"]
_KEY = ["links", "size_bytes", "generator"]


def summary(run: Run) -> pd.DataFrame:
    """Return n, mean and spread of requests/s for every kind of links, stack, size and generator.

    Also the means of the `requests` made and of `busiest_thread_share`, and whether a thread of server or client was
    the limit (`cpu_bound`: its share is BOUND at least). Runs of before 2026-11-30 do not tell: the share is NaN.
    """
    points, by = _with_links(run.passed), ["stack", *_KEY]
    rates = summarise(points, by, "requests_per_s")
    further = points.reindex(columns=[*by, *_FURTHER]).astype(dict.fromkeys(_FURTHER, float))
    means = further.groupby(by)[_FURTHER].mean().reset_index()
    means["cpu_bound"] = means["busiest_thread_share"] >= BOUND
    return rates.merge(means, on=by)


def crossovers(run: Run, links: str) -> dict[str, Crossover]:
    """Return by making where MPTCP comes to make more requests/s than TCP, for figure, table and notebook alike."""
    points = _with_links(run.passed)
    points = points[(points["links"] == links) & (points["generator"] == OURS)]
    rates = points.pivot_table("requests_per_s", "size_bytes", ["stack", "repetition"]).sort_index()
    stacks = set(points["stack"])
    found = {}
    for making, (mptcp, tcp) in PAIRS.items():
        if {mptcp, tcp} <= stacks:
            both = rates[[mptcp, tcp]].dropna(axis="index", how="all")
            if len(both) > 1:
                found[making] = crossover(both[mptcp], both[tcp])
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
    panels[-1].set_xlim(sizes[0] / _ROOM, sizes[-1] * _ROOM)
    panels[-1].set_xlabel("response size (kB)")
    handles = [key(look(stack), markersize=3, linewidth=0.9) for stack in run.stacks]
    labels = [look(stack).label for stack in run.stacks]
    figure.legend(
        [*handles, *_signs(run, rates)], [*labels, *_signs(run, rates).values()], loc="outside upper left", ncols=2,
        handlelength=2.6, columnspacing=1.2,
    )  # fmt: skip
    caption = f"{_caption(run, rates)}\nmarkers of one size stand side by side, lines at their sizes"
    figure.supxlabel(caption, fontsize=6, color=_GREY, x=0.02, ha="left")
    return figure


def draw_latencies(run: Run) -> Figure | None:
    """Return the distributions of the requests' latencies: a panel a size and kind of links; our generator's alone."""

    def title(key: Mapping[str, Any]) -> str:
        return f"{_size(key['size_bytes'])}, {_links(run, key['links'])}"

    found = _with_links(distributions.latencies(run))
    return distributions.draw(run, panels=["links", "size_bytes"], title=title, found=found)


def _draw_panel(run: Run, axes: Axes, rates: pd.DataFrame, kind: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for place, stack in enumerate(run.stacks):
        _draw_stack(axes, rates[rates["stack"] == stack], stack, place, len(run.stacks))
    for place, (making, found) in enumerate(_overtakings(run, kind).items()):
        _draw_overtaking(axes, making, found, 0.05 + 0.05 * place)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.minorticks_off()
    axes.set_ylabel("requests/s")
    axes.set_title(_links(run, kind), fontsize=7, loc="left")


def _overtakings(run: Run, kind: str) -> dict[str, Crossover]:
    """Return by making where MPTCP overtakes TCP, if it does."""
    return {making: found for making, found in crossovers(run, kind).items() if found.between is not None}


def _draw_overtaking(axes: Axes, making: str, found: Crossover, height: float) -> None:
    """Draw a bracket, over nothing else, between the two sizes, and a tick near where it is."""
    for places, sign in ((found.between, _BRACKET), ((found.at,), _TICK)):
        axes.plot(
            places, [height] * len(places or ()), color=look(PAIRS[making][0]).color,
            transform=axes.get_xaxis_transform(), **sign,
        )  # fmt: skip


_BRACKET: Mapping[str, Any] = {"linewidth": 1.5, "marker": "|", "markersize": 5}
_TICK: Mapping[str, Any] = {"linestyle": "", "marker": "d", "markersize": 3.5}


def _draw_stack(axes: Axes, rates: pd.DataFrame, stack: str, place: int, of: int) -> None:
    style = look(stack)
    ours = rates[rates["generator"] == OURS].sort_values("size_bytes")
    drawn = axes.errorbar(
        ours["size_bytes"], ours["mean"], yerr=bars(ours), color=style.color,
        marker=style.marker, linestyle=style.linestyle, markersize=3, linewidth=0.9, **_BARS,
    )  # fmt: skip
    check = rates[rates["generator"] == AB].sort_values("size_bytes")
    checked = axes.errorbar(
        check["size_bytes"], check["mean"], yerr=bars(check), color=style.color, marker=style.marker,
        linestyle="", markerfacecolor="white", markersize=5, markeredgewidth=0.6, zorder=1, **_BARS,
    )  # fmt: skip
    busy = ours[ours["cpu_bound"]]
    rings = axes.plot(busy["size_bytes"], busy["mean"], **_RING)
    aside(axes, [*drawn.get_children(), *checked.get_children(), *rings], place, of, 2)


_BARS: Mapping[str, Any] = {"capsize": 3, "elinewidth": 0.8, "capthick": 0.8}
"""Caps are wider than markers, or a small spread could not be seen."""
_RING: Mapping[str, Any] = {
    "linestyle": "", "marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgecolor": "#888888",
    "markeredgewidth": 0.7,
}  # fmt: skip


def _signs(run: Run, rates: pd.DataFrame) -> dict[Any, str]:
    """Return legend entries for the markers that there are, and for where MPTCP overtakes TCP."""
    signs: dict[Any, str] = {}
    if (rates["generator"] == AB).any():
        hollow = {"linestyle": "", "marker": "o", "markerfacecolor": "white", "markeredgecolor": _GREY}
        signs[Line2D([], [], **hollow)] = "ab and Apache"
    if rates["cpu_bound"].any():
        signs[Line2D([], [], **_RING)] = "processor-bound"
    overtaking = {making for kind in (EQUAL, UNEQUAL) for making in _overtakings(run, kind)}
    for making in (making for making in PAIRS if making in overtaking):
        color = look(PAIRS[making][0]).color
        sign = Line2D([], [], color=color, **_BRACKET), Line2D([], [], color=color, **_TICK)
        signs[sign] = f"{making}: MPTCP overtakes"
    return signs


def _caption(run: Run, rates: pd.DataFrame) -> str:
    parameters = run.parameters
    limit = f", at most {parameters['seconds']:g} s a point" if "seconds" in parameters else ""
    ours, checked = rates[rates["generator"] == OURS], rates[rates["generator"] == AB]
    also = f" (ab: {counted(checked, '')})" if not checked.empty else ""
    return f"{parameters['concurrency']} at once{limit}; {counted(ours)}{also}"


def _links(run: Run, kind: str) -> str:
    """Return what the links are: "2 x 1 Gbit/s"."""
    parameters, paths = run.parameters, int(run.parameters["paths"])
    if kind == EQUAL:
        return networks.rates_and_delays(run, "links", kind, f"{paths} x {_rate(parameters['rate'])}")
    delay_ms = parameters.get("slow_delay", 0) / 1e6
    slow = f"{_rate(parameters['slow_rate'])}{f' later by {delay_ms:g} ms' if delay_ms else ''}"
    asked = f"{f'{paths - 1} x ' if paths > 2 else ''}{_rate(parameters['rate'])} and {slow}"
    return networks.rates_and_delays(run, "links", kind, asked)


def _rate(bits_per_s: int) -> str:
    unit, name = (1e9, "Gbit/s") if bits_per_s >= 1e9 else (1e6, "Mbit/s")
    return f"{bits_per_s / unit:g} {name}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:g} MB" if size_bytes >= 1e6 else f"{size_bytes / 1000:g} kB"


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
    threads = ["thread"] if rates["busiest_thread_share"].notna().any() else []
    for heading in ("size", "stack", "requests/s", "x TCP", "made", *threads, "ab, Apache"):
        result.add_column(heading, justify="left" if heading == "stack" else "right", no_wrap=True)
    for kind in kinds:
        of_kind = points[points["links"] == kind]
        result.add_row("", f"{kind} links", end_section=True)
        for size in sorted(of_kind["size_bytes"].unique()):
            for stack in run.stacks:
                chosen = of_kind[(of_kind["size_bytes"] == size) & (of_kind["stack"] == stack)]
                cells = _row(chosen, rates, (kind, size, stack), bool(threads))
                result.add_row(*cells, end_section=stack == run.stacks[-1])
    return result


def _notes(run: Run, kinds: list[str]) -> list[str]:
    """Return what the links are, where MPTCP overtakes TCP, and what the columns mean."""
    lines = [f"{kind} links: {_links(run, kind)}" for kind in kinds]
    lines += [
        f"MPTCP overtakes TCP ({making}, {kind} links): {found.text('kB', 1000)}"
        for kind in kinds
        for making, found in crossovers(run, kind).items()
    ]
    if "requests" in run.points:
        lines.append(f"made: requests in the time there was, of {run.parameters['requests']:,}")
    if "busiest_thread_share" in run.points:
        lines.append(
            "thread: share of the time for which the busiest one ran or waited for a core, * when it was the limit"
        )
    return lines


def _row(points: pd.DataFrame, rates: pd.DataFrame, at: tuple[str, int, str], threads: bool) -> list[str]:
    _, size, stack = at
    ours, check = (*at, OURS), (*at, AB)
    measured = ours in rates.index

    def cell(column: str, text: str) -> str:
        value = rates.at[ours, column] if measured else None
        return text.format(value) if pd.notna(value) else ""

    busy = cell("busiest_thread_share", "{:.0%}") + ("*" if measured and rates.at[ours, "cpu_bound"] else "")
    return [
        _size(size),
        look(stack).label,
        _mean(rates, ours) or _outcome(points),
        cell("ratio", "{:.2f}"),
        ", ".join(filter(None, (cell("requests", "{:,.0f}"), _failed(points)))),
        *([busy] if threads else []),
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
