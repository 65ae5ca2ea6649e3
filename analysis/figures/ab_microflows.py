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
from rich.table import Table

from analysis import distributions, networks, panels, tables
from analysis.load import Run
from analysis.metrics import Crossover, counted, crossover, ratio_to, spread, summarise
from analysis.style import GREY, key, look

METRICS = ("requests_per_s",)

REFERENCE = "kernel-tcp"
OURS, AB = "loadgen", "ab"
EQUAL, UNEQUAL = "equal", "unequal"
PAIRS = {"kernel": ("kernel-mptcp", "kernel-tcp"), "Python": ("python-mptcp", "python-tcp")}
"""MPTCP and the TCP that it is compared with, each of one making."""

BOUND = 0.9
"""Share of the time for which a program's busiest thread ran or waited for a core: from here on it was the limit."""

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
    figure, of_kinds = panels.column(len(kinds), 1.0 + 2.3 * len(kinds))
    for kind, axes in zip(kinds, of_kinds, strict=True):
        _draw_panel(run, axes, rates[rates["links"] == kind], kind)
    sizes = sorted(rates["size_bytes"].unique())
    of_kinds[-1].set_xticks(sizes, [f"{size / 1000:g}" for size in sizes])
    of_kinds[-1].set_xlim(sizes[0] / _ROOM, sizes[-1] * _ROOM)
    of_kinds[-1].set_xlabel("response size (kB)")
    stacks = [key(look(stack), markersize=3, linewidth=0.9) for stack in run.stacks]
    panels.legend(figure, [*stacks, *_signs(run, rates)], handlelength=2.6)
    panels.foot(figure, f"{_caption(run, rates)}\nmarkers of one size stand side by side, lines at their sizes")
    return figure


def draw_latencies(run: Run) -> Figure | None:
    """Return the distributions of the requests' latencies: a panel a size and kind of links; our generator's alone."""

    def title(key: Mapping[str, Any]) -> str:
        return f"{_size(key['size_bytes'])}, {_links(run, key['links'])}"

    found = _with_links(distributions.latencies(run))
    return distributions.draw(run, panels=["links", "size_bytes"], title=title, found=found)


def _draw_panel(run: Run, axes: Axes, rates: pd.DataFrame, kind: str) -> None:
    axes.set_xscale("log")
    panels.logarithmic(axes, "y", (1, 2, 5))
    for number, stack in enumerate(run.stacks):
        _draw_stack(axes, rates[rates["stack"] == stack], stack, (number, len(run.stacks)))
    for number, (making, found) in enumerate(_overtakings(run, kind).items()):
        _draw_overtaking(axes, making, found, 0.05 + 0.05 * number)
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


def _draw_stack(axes: Axes, rates: pd.DataFrame, stack: str, place: tuple[int, int]) -> None:
    ours = rates[rates["generator"] == OURS].sort_values("size_bytes")
    panels.line(axes, ours["size_bytes"], ours["mean"], look(stack), spread(ours), place)
    check = rates[rates["generator"] == AB].sort_values("size_bytes")
    panels.line(axes, check["size_bytes"], check["mean"], look(stack), spread(check), place, **_HOLLOW)
    busy = ours[ours["cpu_bound"]]
    panels.aside(axes, axes.plot(busy["size_bytes"], busy["mean"], **_RING), place)


_HOLLOW: Mapping[str, Any] = {
    "linestyle": "", "markerfacecolor": "white", "markersize": 5, "markeredgewidth": 0.6, "zorder": 1,
}  # fmt: skip
_RING: Mapping[str, Any] = {
    "linestyle": "", "marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgecolor": "#888888",
    "markeredgewidth": 0.7,
}  # fmt: skip


def _signs(run: Run, rates: pd.DataFrame) -> list[Any]:
    """Return legend entries for the markers that there are, and for where MPTCP overtakes TCP."""
    signs: list[Any] = []
    if (rates["generator"] == AB).any():
        hollow = {"linestyle": "", "marker": "o", "markerfacecolor": "white", "markeredgecolor": GREY}
        signs.append(Line2D([], [], **hollow, label="ab and Apache"))
    if rates["cpu_bound"].any():
        signs.append(Line2D([], [], **_RING, label="processor-bound"))
    overtaking = {making for kind in (EQUAL, UNEQUAL) for making in _overtakings(run, kind)}
    for making in (making for making in PAIRS if making in overtaking):
        color, label = look(PAIRS[making][0]).color, f"{making}: MPTCP overtakes"
        signs.append((Line2D([], [], color=color, **_BRACKET, label=label), Line2D([], [], color=color, **_TICK)))
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
    threads = ["thread"] if rates["busiest_thread_share"].notna().any() else []
    headings = "size", "stack", "requests/s", "x TCP", "made", *threads, "ab, Apache"
    caption = "\n".join([_caption(run, rates), *_notes(run, kinds)])
    result = tables.table(run.manifest["title"], headings, caption=caption)
    rates = rates.set_index(["links", "size_bytes", "stack", "generator"])
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
    mean, sd, n = rates.loc[key, ["mean", "sd", "n"]]
    return tables.number(mean, sd, n, ",.0f" if mean >= 1000 else ",.1f")


def _outcome(points: pd.DataFrame) -> str:
    """Return how points that gave no number ended."""
    return ", ".join(points["outcome"].unique()) or "not measured"


def _failed(points: pd.DataFrame) -> str:
    """Return the number of failed requests over all repetitions, if any."""
    failed = int(points["failed"].fillna(0).sum()) if "failed" in points else 0
    return f"{failed:,} failed" if failed else ""
