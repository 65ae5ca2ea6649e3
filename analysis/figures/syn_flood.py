"""Requests served, and how long they took, against the rate of a SYN flood that was reached."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from rich.table import Table

from analysis import panels, tables
from analysis.load import Run
from analysis.metrics import counted, summarise
from analysis.style import COLUMN_WIDTH_IN, key, look

_REACHED, _HEARD, _SHARE = "flood_rate_per_s", "heard_share", "served_share"
_MEDIAN, _MPTCP, _SERVED = "latency_ms_total_p50", "mptcp_connections", "succeeded"
METRICS = (_SHARE, _MEDIAN, _HEARD)

_WITHOUT = "+syn_cookies=off"
_BY = ["stack", "syn", "flood_per_s"]
_STEADY = 0.9
_RATES = (0, 1000, 10_000, 100_000)
_SYNS = {"plain": "plain TCP", "mp-capable": "MP_CAPABLE"}


def summary(run: Run) -> pd.DataFrame:
    """Return a row for each stack, kind of SYN and flood: n, mean, least and most share of the requests served.

    With the means of the rate reached, the share of SYNs heard, the median time in ms, and connections with MPTCP among
    those served.
    """
    points = run.passed
    shares = summarise(points, _BY, _SHARE)
    groups = points.groupby(_BY, sort=False, as_index=False)
    means = groups[[_REACHED, _HEARD, _MEDIAN, _MPTCP, _SERVED]].mean()
    bounds = groups.agg(**{f"{_MEDIAN}_{bound}": (_MEDIAN, bound) for bound in ("min", "max")})
    return shares.merge(means, on=_BY).merge(bounds, on=_BY)


def draw(run: Run) -> Figure:
    """Return the figure: the share of requests served above, the median time of those served below."""
    found = summary(run)
    syns = [syn for syn in _SYNS if syn in set(found["syn"])]
    figure = Figure(figsize=(COLUMN_WIDTH_IN * max(1, len(syns)), 3.6))
    rows = figure.subplots(2, max(1, len(syns)), sharex=True, sharey="row", squeeze=False)
    for (shares, times), syn in zip(rows.T, syns, strict=True):
        panels.logarithmic(times, "y")
        times.set_xscale("symlog", linthresh=_RATES[1], linscale=0.4)
        for number, stack in enumerate(run.stacks):
            # What there was without a flood is where the lines of all kinds begin.
            part = found[(found["stack"] == stack) & found["syn"].isin([syn, "none"])].sort_values(_REACHED)
            place = number, len(run.stacks)
            _line(shares, part, stack, place, 100 * part["mean"], 100 * part["min"], 100 * part["max"])
            _line(times, part, stack, place, part[_MEDIAN], part[f"{_MEDIAN}_min"], part[f"{_MEDIAN}_max"])
        shares.set_ylim(-4, 104)
        times.set_xlim(left=-250)
        times.set_xticks(_RATES, [f"{rate:,}" for rate in _RATES])
        times.set_xlim(right=2 * max(_RATES[1], found[_REACHED].max()))
        times.xaxis.set_minor_locator(NullLocator())
        times.set_xlabel(
            f"{_SYNS[syn]} SYNs a second of the flood\n{counted(found, 'mean, least to most')}", fontsize=7
        )
    rows[0][0].set_ylabel("requests served (%)")
    rows[1][0].set_ylabel("median time (ms)")
    handles = [key(look(stack)) for stack in run.stacks if _WITHOUT not in stack]
    handles.append(
        Line2D([], [], color="#777777", marker="o", fillstyle="none", linestyle=":", label="without cookies")
    )
    panels.legend(figure, handles, 3, loc="outside upper center")
    return figure


def _line(
    axes: Axes, rows: pd.DataFrame, stack: str, place: tuple[int, int], mean: pd.Series, low: pd.Series, high: pd.Series
) -> None:
    """Draw one stack, hollow where it has no cookies; bars from the least to the most; lines lead the eye alone."""
    looks = {"linestyle": ":", "fillstyle": "none"} if _WITHOUT in stack else {}
    spread = [mean - low, high - mean] if (rows["n"] > 1).any() else None
    panels.line(
        axes, rows[_REACHED], mean, look(stack.removesuffix(_WITHOUT)), spread, place, 1.5, linewidth=0.5, **looks
    )


def table(run: Run) -> Table:
    """Return the same numbers, and how much the stack heard of the flood and made MPTCP beside it.

    Floods are in SYNs a second, with what was asked for where it was not reached.
    """
    words = "stack", "cookies", "flood of"
    headings = *words, "SYN/s", "heard%", "served%", "p50 ms", "MPTCP%", "n"
    result = tables.table(run.manifest["title"], headings, words)
    for row in summary(run).to_dict("records"):
        plain = row["stack"].removesuffix(_WITHOUT)
        result.add_row(
            look(plain).label, "no" if plain != row["stack"] else "yes", row["syn"], _rate(row),
            f"{100 * row[_HEARD]:.0f}", _spread(row), "" if pd.isna(row[_MEDIAN]) else f"{row[_MEDIAN]:.1f}",
            _mptcp(row), f"{row['n']}",
        )  # fmt: skip
    return result


def _spread(row: dict[str, float]) -> str:
    return tables.number(100 * row["mean"], 100 * row["sd"], row["n"], ".0f", "±")


def _rate(row: dict[str, float]) -> str:
    slow = row[_REACHED] < _STEADY * row["flood_per_s"]
    return f"{row[_REACHED]:,.0f}" + (f" of {row['flood_per_s']:,}" if slow else "")


def _mptcp(row: dict[str, float]) -> str:
    """Return how many of the connections that were served were MPTCP; nothing where none was to be."""
    if "mptcp" not in str(row["stack"]) or not row[_SERVED]:
        return ""
    return f"{min(100, 100 * row[_MPTCP] / row[_SERVED]):.0f}"
