"""What each scheduler makes of two paths: rate of a download, time until an answer is there, share of the paths.

Of a repetition's answers the median and the 90th percentile count: there are too few of them for more.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from rich.table import Table

from analysis import distributions, networks, panels, tables
from analysis.load import Run
from analysis.metrics import counted, spread, summarise
from analysis.style import COLUMN_WIDTH_IN, GREY, INK, Look, look

METRICS = ("throughput_bps", "dialogue_delay_ms_p50")

BULK = "bulk"
VALUES = {
    "rate": "throughput_bps",
    "p50": "dialogue_delay_ms_p50",
    "p90": "dialogue_delay_ms_p90",
    "worst": "dialogue_delay_ms_p100",
    "share": "first_path_share",
    "sent": "sent_per_byte",
}
_KINDS = {"kernel MPTCP": "#0072b2", "Python MPTCP": "#d55e00", "example of one's own": "#cc79a7"}
_CAPACITY: Mapping[str, Any] = {"color": GREY, "linewidth": 0.8, "linestyle": "--"}
_P90: Mapping[str, Any] = {"color": INK, "linestyle": "", "marker": "|", "markersize": 5}
_CURVES = ("#d55e00", "#e69f00", "#009e73", "#56b4e9", "#000000", "#999999", "#cc79a7", "#7a5c00")
_LINES = ("-", "--", "-.", ":")

_SCHEDULER = "scheduler="
_EXAMPLE = re.compile(r"^(mine|examples\.scheduler):")

_LABEL_LETTERS = 26
"""In a line of a label beside the axes: longer ones would take the width of the bars."""


def label(stack: str) -> str:
    """Return how a stack is called here: one of ours by its scheduler, a user's own by its label.

    The project's example of a scheduler is told apart; earlier runs took it from a module `mine`.
    """
    name, *settings = stack.split("+")
    if ":" in name:
        return look(stack).label
    chosen = [one.removeprefix(_SCHEDULER) for one in settings if one.startswith(_SCHEDULER)]
    others = [one for one in settings if not one.startswith(_SCHEDULER)]
    scheduler = _EXAMPLE.sub("example: ", chosen[-1]) if chosen else f"{look(name).label}, default"
    return ", ".join([scheduler, *others])


def summary(run: Run) -> pd.DataFrame:
    """Return one row a pair of paths, load and stack: n, and mean and `_sd` of every one of VALUES."""
    by = ["case", "load", "stack"]
    passed = run.passed.astype({"load": str})
    result = passed.groupby(by, sort=False, as_index=False).size().rename(columns={"size": "n"})
    for name, column in VALUES.items():
        if column in passed:
            means = summarise(passed, by, column)[[*by, "mean", "sd"]]
            result = result.merge(means.rename(columns={"mean": name, "sd": f"{name}_sd"}), on=by, how="left")
    return result


def draw(run: Run) -> Figure:
    """Return the figure: a row of panels a pair of paths, first the download, then each size of answer."""
    found = summary(run)
    cases, loads = (list(dict.fromkeys(found[name])) for name in ("case", "load"))
    stacks = list(dict.fromkeys(found["stack"]))
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 0.8 + len(cases) * (0.75 + 0.17 * len(stacks))))
    rows = figure.subplots(len(cases), len(loads), sharey=True, squeeze=False)
    for of_loads, case in zip(rows, cases, strict=True):
        for axes, load in zip(of_loads, loads, strict=True):
            part = found[(found["case"] == case) & (found["load"] == load)].set_index("stack").reindex(stacks)
            _draw_bars(axes, part, load)
            if load == BULK and (capacity := networks.capacity_bps(run, "case", case) / 1e6):
                axes.axvline(capacity, **_CAPACITY)
            axes.set_xlim(left=0)
        panels.rows(of_loads[0], [textwrap.fill(label(stack), _LABEL_LETTERS) for stack in stacks])
        of_loads[0].set_title(words(run, case), fontsize=6.5, loc="left")
    kinds = [kind for kind in _KINDS if kind in {_kind(stack) for stack in stacks}]
    handles: list[Any] = [Patch(color=_KINDS[kind], label=kind) for kind in kinds]
    if any(networks.capacity_bps(run, "case", case) for case in cases):
        handles.append(Line2D([], [], **_CAPACITY, label="rate of both links"))
    handles.append(Line2D([], [], **_P90, label="90th percentile"))
    panels.legend(figure, handles, fontsize=6)
    panels.foot(figure, f"rates, and medians of answers; {counted(found)}")
    return figure


def _draw_bars(axes: Axes, part: pd.DataFrame, load: str) -> None:
    value, unit = ("rate", 1e6) if load == BULK else ("p50", 1)
    colors = [_KINDS[_kind(stack)] for stack in part.index]
    panels.bars(axes, range(len(part)), part[value] / unit, spread(part, unit, f"{value}_sd"), color=colors)
    if load != BULK and "p90" in part:
        axes.plot(part["p90"], range(len(part)), **_P90)
    axes.locator_params(axis="x", nbins=3)
    axes.set_xlabel("download\n(Mbit/s)" if load == BULK else f"{int(load) // 1000} kB answer\n(ms)", fontsize=6.5)


def draw_latencies(run: Run) -> Figure | None:
    """Return the distributions of the times to an answer: a panel a pair of paths and size, a curve a scheduler."""
    found = distributions.latencies(run)
    if found.empty:
        return None
    places = {stack: place for place, stack in enumerate(run.stacks)}

    def line(key: Mapping[str, Any]) -> Look:
        place = places[key["stack"]]
        color = _KINDS["kernel MPTCP"] if _kind(key["stack"]) == "kernel MPTCP" else _CURVES[place % len(_CURVES)]
        return Look(label(key["stack"]), color, "", _LINES[place % len(_LINES)])

    def title(key: Mapping[str, Any]) -> str:
        return f"{words(run, key['case'])}, answers of {int(key['load']) // 1000} kB"

    answers = found[found["kind"] == "dialogue"].astype({"load": str})
    return distributions.draw(run, panels=["case", "load"], title=title, line=line, found=answers)


def _kind(stack: str) -> str:
    return "kernel MPTCP" if "kernel" in stack else "example of one's own" if ":" in stack else "Python MPTCP"


def words(run: Run, case: str) -> str:
    """Return the paths of a case in words, as in "10/4 Mbit/s, 10/100 ms"."""
    rates, _, delays = case.partition(":")
    return networks.rates_and_delays(run, "case", case, f"{rates} Mbit/s, {delays} ms")


def table(run: Run) -> Table:
    """Return rate or times, share of the first path, and what was sent for each useful byte."""
    result = tables.table(
        run.manifest["title"],
        ("paths", "scheduler", "load", "Mbit/s", "p50", "p90", "worst", "first", "sent", "n"),
        ("paths", "scheduler", "load"),
        "paths: Mbit/s and one-way ms; p50, p90, worst: ms to an answer; first: share of the bytes that the"
        " first path carried; sent: bytes on both paths for each byte of use",
    )
    for row in summary(run).to_dict("records"):
        load = str(row["load"])
        times = (_cell(row, name, 1, 0) for name in ("p50", "p90", "worst"))
        cells = [_cell(row, "rate", 1e6, 2), *times, _cell(row, "share", 0.01, 0, "%"), _cell(row, "sent", 1, 2)]
        what = load if load == BULK else f"{int(load) // 1000} kB"
        result.add_row(row["case"], label(row["stack"]), what, *cells, f"{row['n']}")
    return result


def _cell(row: dict[str, float], name: str, unit: float, digits: int, sign: str = "") -> str:
    if pd.isna(row.get(name)):
        return ""
    return tables.number(row[name] / unit, row[f"{name}_sd"] / unit, row["n"], f".{digits}f") + sign
