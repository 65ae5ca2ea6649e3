"""The benchmark: how many times as fast as its peer our stack is, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from typing import Final, NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from analysis import panels, tables
from analysis.load import Run
from analysis.style import GREY, INK, key, look

METRICS = ("score", "cost")

_ROW_IN: Final = 0.17
_RATIOS: Final = (0.125, 0.25, 0.5, 1, 2, 4, 8)
_STEP: Final = 0.22
"""Between the marks of stacks in one row."""


class Line(NamedTuple):
    """A row and a stack that is not its peer: medians, and how many `times` as fast as the peer it is.

    `times` is the median of the ratios of the `n` pairs, of one repetition each, and `low` to `high` their range: of
    five pairs that has the median of all in it with a probability of 94 %. `cost` is the median of the ratios of
    processor time, NaN where a row has none.
    """

    row: str
    stack: str
    says: str
    peer: str
    unit: str
    n: int
    score: float
    peer_score: float
    times: float
    low: float
    high: float
    cost: float


def summary(points: pd.DataFrame) -> list[Line]:
    """Return the lines of points that passed."""
    found = []
    for (row, stack), ours in points.groupby(["row", "stack"], sort=False):
        said = ours.iloc[0]
        peer = points[(points["row"] == row) & (points["stack"] == said["peer"])]
        pairs = ours.merge(peer, on="repetition", suffixes=("", "_peer"))
        if stack == said["peer"] or pairs.empty:
            continue
        ratios = pairs["score"] / pairs["score_peer"]
        times = ratios if said["more_is_better"] else 1 / ratios
        costs = pairs["cost"] / pairs["cost_peer"] if "cost" in pairs else pd.Series(dtype=float)
        found.append(
            Line(
                str(row), str(stack), said["says"], said["peer"], said["score_unit"], len(pairs),
                ours["score"].median(), peer["score"].median(), times.median(), times.min(), times.max(),
                costs.median(),
            )
        )  # fmt: skip
    return found


def slower(before: Iterable[Line], now: Iterable[Line]) -> list[str]:
    """Return what got slower beyond noise, a line each: no ratio to the peer is as good as the least of before."""
    known = {(line.row, line.stack): line for line in before}
    return [
        f"{line.row}, {line.stack}: {_times(line)}, before {_times(known[line[:2]])}"
        for line in now
        if line[:2] in known and line.high < known[line[:2]].low
    ]


def _times(line: Line) -> str:
    return f"{line.times:.2f} x {line.peer} ({line.low:.2f} to {line.high:.2f})"


def draw(run: Run) -> Figure:
    """Return the figure: a mark a row and stack at the median of its ratios, a line for their range."""
    lines = summary(run.passed)
    if not lines:
        figure, (axes,) = panels.column(1, 1.1)
        axes.set_axis_off()
        axes.set_title("no stack has run beside its peer", fontsize=6.5, color=GREY)
        return figure
    labels = list(dict.fromkeys(line.says for line in lines))
    figure, (axes,) = panels.column(1, 1.1 + _ROW_IN * len(labels))
    axes.axvline(1, color=INK, linewidth=0.8)
    stacks = list(dict.fromkeys(line.stack for line in lines))
    for stack in stacks:
        own, style = [line for line in lines if line.stack == stack], look(stack)
        places = [labels.index(line.says) + _shift(lines, line) for line in own]
        panels.ranges(axes, places, [line.low for line in own], [line.high for line in own], style)
        times = [line.times for line in own]
        axes.plot(times, places, linestyle="", marker=style.marker, color=style.color, markersize=3.5)
    panels.rows(axes, labels)
    panels.logarithmic(axes, "x")
    least, most = min(line.low for line in lines), max(line.high for line in lines)
    shown = [ratio for ratio in _RATIOS if least / 1.2 <= ratio <= most * 1.2]
    axes.set_xticks(shown, [f"{ratio:g}" for ratio in shown])
    axes.minorticks_off()
    axes.set_xlabel("times as fast as its peer")
    axes.set_title(f"median and range of {_count(lines)} pairs", fontsize=6.5, color=GREY)
    panels.legend(figure, [key(look(stack), linestyle="") for stack in stacks])
    return figure


def _count(lines: Iterable[Line]) -> str:
    numbers = [line.n for line in lines]
    return str(min(numbers)) + (f" to {max(numbers)}" if max(numbers) > min(numbers) else "")


def _shift(lines: Iterable[Line], line: Line) -> float:
    beside = [one.stack for one in lines if one.row == line.row]
    return panels.shift(beside.index(line.stack), len(beside), _STEP)


def table(run: Run) -> Table:
    """Return the same numbers, with what each stack did and what its processor time is in its peer's."""
    words = "row", "stack", "unit"
    result = tables.table(
        run.manifest["title"], [*words, "median", "peer", "times", "of pairs", "CPU", "n"], words,
        caption="times: as fast as the peer; CPU: processor time for as much, in the peer's",
    )  # fmt: skip
    for line in summary(run.passed):
        result.add_row(
            line.row, line.stack, line.unit, _short(line.score), _short(line.peer_score), f"{line.times:.2f}",
            f"{line.low:.2f} to {line.high:.2f}", "" if isnan(line.cost) else f"{line.cost:.2f}", str(line.n),
        )  # fmt: skip
    return result


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}"
