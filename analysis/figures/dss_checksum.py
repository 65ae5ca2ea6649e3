"""Goodput and processor time with and without DSS checksums, and their ratio."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from analysis import networks, panels, tables
from analysis.load import Run
from analysis.metrics import summarise
from analysis.style import look

METRICS = ("steady_bps", "cpu_s_per_gbyte")

SEGMENTS = {"super-segments": "64 KB", "mss": "1 MSS"}
"""The factor's values, and what they are called."""

PANELS = {"goodput_gbps": "goodput (Gbit/s)", "cpu_s_per_gbyte": "processor time (s/GB)"}
_WITH = "+dss_checksum=on"


def points(run: Run) -> pd.DataFrame:
    """Return the passed points with the stack's name apart from `checksum`."""
    passed = run.passed
    return passed.assign(
        goodput_gbps=passed["steady_bps"] / 1e9,
        checksum=passed["stack"].str.contains(_WITH, regex=False),
        stack=passed["stack"].str.replace(_WITH, "", regex=False),
    )


def ratios(run: Run, value: str) -> pd.DataFrame:
    """Return n, mean and spread of what `value` is with checksums relative to the same repetition without."""
    pairs = points(run).pivot_table(index=["segments", "stack", "repetition"], columns="checksum", values=value)
    pairs = pairs.reindex(columns=[False, True])
    ratio = (pairs[True] / pairs[False]).dropna().rename("ratio").reset_index()
    return summarise(ratio, ["segments", "stack"], "ratio").set_index(["segments", "stack"])


def _rows(run: Run) -> list[tuple[str, str]]:
    measured = points(run)
    stacks = list(dict.fromkeys(stack.replace(_WITH, "") for stack in run.stacks))
    present = set(zip(measured["segments"], measured["stack"], strict=True))
    return [(segments, stack) for segments in SEGMENTS for stack in stacks if (segments, stack) in present]


def draw(run: Run) -> Figure:
    """Return the figure: for each stack and kind of segment a mark without and one with; the ratio beside them."""
    rows = _rows(run)
    figure, both = panels.row(len(PANELS), 1.2 + 0.32 * len(rows))
    for axes, (value, label) in zip(both, PANELS.items(), strict=True):
        _draw_panel(axes, run, value, rows)
        axes.set_xlabel(label)
    panels.rows(both[0], [f"{look(stack).label},\n{SEGMENTS[segments]}" for segments, stack in rows], 7)
    n = int(summarise(points(run), ["segments", "stack", "checksum"], "steady_bps")["n"].min())
    links = f"{networks.link_count(run, run.parameters['paths'])} links; mean, least and greatest of n = {n}"
    panels.foot(figure, f"filled: without, hollow: with checksums; x: with/without\n{links}")
    return figure


def _draw_panel(axes: Axes, run: Run, value: str, rows: list[tuple[str, str]]) -> None:
    keys = ["segments", "stack", "checksum"]
    means, ratio = summarise(points(run), keys, value).set_index(keys), ratios(run, value)
    for place, row in enumerate(rows):
        for checksum, shift in ((False, -0.15), (True, 0.15)):
            if (*row, checksum) not in means.index:
                continue
            mark, style = means.loc[(*row, checksum)], look(row[1])
            panels.ranges(axes, [place + shift], mark["min"], mark["max"], style)
            fill = "white" if checksum else style.color
            panels.marks(axes, [place + shift], [mark["mean"]], style, markersize=4.5, markerfacecolor=fill)
        if row in ratio.index:
            axes.text(0.99, place, f"x {ratio.loc[row]['mean']:.2f}", va="center", ha="right", fontsize=6.5,
                      transform=axes.get_yaxis_transform())  # fmt: skip
    axes.set_xscale("log")
    least, greatest = float(means["min"].min()), float(means["max"].max())
    axes.set_xlim(0.6 * least, greatest * (greatest / least) ** 0.45)
    axes.grid(visible=False, axis="y")


def table(run: Run) -> Table:
    """Return both quantities without and with, and the ratio, by kind of segment and stack."""
    headings = "segments", "stack", "Gbit/s", "with", "ratio", "s/GB", "with", "ratio", "n"
    result = tables.table(run.manifest["title"], headings, headings[:2])
    means = {
        value: summarise(points(run), ["segments", "stack", "checksum"], value)
        .set_index(["segments", "stack", "checksum"])
        for value in PANELS
    }  # fmt: skip
    all_ratios = {value: ratios(run, value) for value in PANELS}
    for row in _rows(run):
        cells = []
        for value in PANELS:
            for checksum in (False, True):
                there = (*row, checksum) in means[value].index
                cells.append(f"{means[value].loc[(*row, checksum), 'mean']:.2f}" if there else "")
            cells.append(_cell(all_ratios[value].loc[row]) if row in all_ratios[value].index else "")
        n = f"{all_ratios['goodput_gbps']['n'].get(row, 0):.0f}"
        result.add_row(SEGMENTS[row[0]], look(row[1]).label, *cells, n)
    return result


def _cell(row: pd.Series) -> str:
    return tables.number(row["mean"], row["sd"], row["n"], sign="±")
