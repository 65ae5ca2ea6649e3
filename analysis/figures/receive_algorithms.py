"""What an out-of-order segment costs with each receive algorithm, for few subflows and many."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from analysis.load import Run
from analysis.metrics import summarise
from analysis.style import COLUMN_WIDTH_IN

ALGORITHMS = {
    "regular": "regular",
    "tree": "tree",
    "shortcuts": "shortcuts",
    "all-shortcuts": "all shortcuts",
    "ours": "ours (bisection)",
}
"""Names in the results, and what they are called."""

PANELS = {"comparisons": "comparisons\na segment", "ns": "processor time\na segment (ns)"}
METRICS = tuple(f"{value}_{name}" for value in PANELS for name in ALGORITHMS)
"""What it shows of the results, by name (see analysis.compare)."""

_COLORS = ("#56b4e9", "#0072b2", "#000000", "#999999")
_KEYS = ["subflows", "algorithm"]


def costs(run: Run) -> pd.DataFrame:
    """Return one row a point and algorithm: `comparisons` and `ns`, each also relative to the regular one's."""
    rows = []
    for point in run.passed.to_dict("records"):
        for name in ALGORITHMS:
            row = {"subflows": point["subflows"], "algorithm": name}
            for value in PANELS:
                row[value] = point[f"{value}_{name}"]
                row[f"{value}_ratio"] = point[f"{value}_{name}"] / point[f"{value}_regular"]
            rows.append(row)
    return pd.DataFrame(rows)


def draw(run: Run) -> Figure:
    """Return the figure: a bar a number of subflows for each algorithm, what it is relative to `regular` beside it."""
    measured = costs(run)
    numbers = sorted(measured["subflows"].unique())
    height = 0.8 / len(numbers)
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 1.1 + 0.38 * len(ALGORITHMS)))
    for axes, (value, label) in zip(figure.subplots(1, 2, sharey=True), PANELS.items(), strict=True):
        means = summarise(measured, _KEYS, value).set_index(_KEYS)
        ratios = summarise(measured, _KEYS, f"{value}_ratio").set_index(_KEYS)
        edge = float((means["mean"] + means["sd"]).max())
        for index, number in enumerate(numbers):
            places = [place + (index - (len(numbers) - 1) / 2) * height for place in range(len(ALGORITHMS))]
            bars = means.loc[number].loc[list(ALGORITHMS)]
            axes.barh(places, bars["mean"], 0.9 * height, xerr=bars["sd"], color=_COLORS[index % len(_COLORS)],
                      label=f"{number} subflows", error_kw={"elinewidth": 0.8})  # fmt: skip
            for place, name in zip(places, ALGORITHMS, strict=True):
                ends = bars.loc[name, "mean"] + bars.loc[name, "sd"]
                text = f" x {ratios.loc[(number, name), 'mean']:.2f}"
                axes.text(ends, place, text, va="center", fontsize=5.5)
        axes.set_xlim(0, 1.35 * edge)
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")
        axes.set_yticks(range(len(ALGORITHMS)), list(ALGORITHMS.values()))
    axes.invert_yaxis()
    n = int(summarise(measured, _KEYS, "ns")["n"].min())
    figure.supxlabel(f"x: relative to regular; mean ± sd of n = {n} transfers", fontsize=6.5, color="#444444")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(numbers), columnspacing=1.2)
    return figure


def table(run: Run) -> Table:
    """Return comparisons and processor time by number of subflows and algorithm, with the length of the queue."""
    result = Table(title=run.manifest["title"], box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("subflows", "held", "algorithm", "comparisons", "ratio", "ns", "ratio", "n"):
        result.add_column(heading, justify="left" if heading == "algorithm" else "right", no_wrap=True)
    measured = costs(run)
    means = {
        value: summarise(measured, _KEYS, value).set_index(_KEYS)
        for panel in PANELS
        for value in (panel, f"{panel}_ratio")
    }
    held = run.passed.groupby("subflows")["held_mean"].mean()
    for key in means["ns"].index:
        cells = []
        for panel, digits in (("comparisons", 1), ("ns", 0)):
            ratio = means[f"{panel}_ratio"].loc[key]
            cells += [f"{means[panel].loc[key]['mean']:.{digits}f}", f"{ratio['mean']:.2f}±{ratio['sd']:.2f}"]
        n = f"{means['ns'].loc[key]['n']:.0f}"
        result.add_row(f"{key[0]}", f"{held[key[0]]:.0f}", ALGORITHMS[key[1]], *cells, n)
    return result
