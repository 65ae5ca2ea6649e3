"""What an out-of-order segment costs with each receive algorithm, for few subflows and many."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from analysis import panels, tables
from analysis.load import Run
from analysis.metrics import spread, summarise

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
    figure, both = panels.row(len(PANELS), 1.1 + 0.38 * len(ALGORITHMS))
    for axes, (value, label) in zip(both, PANELS.items(), strict=True):
        means = summarise(measured, _KEYS, value).set_index(_KEYS)
        ratios = summarise(measured, _KEYS, f"{value}_ratio").set_index(_KEYS)["mean"]
        for index, number in enumerate(numbers):
            places = [place + panels.shift(index, len(numbers), height) for place in range(len(ALGORITHMS))]
            found = means.loc[number].loc[list(ALGORITHMS)]
            color = _COLORS[index % len(_COLORS)]
            panels.bars(axes, places, found["mean"], spread(found), height, color=color, label=f"{number} subflows")
            for place, name in zip(places, ALGORITHMS, strict=True):
                ends = found.loc[name, "mean"] + found.loc[name, "sd"]
                axes.text(ends, place, f" x {ratios[number, name]:.2f}", va="center", fontsize=5.5)
        axes.set_xlim(0, 1.35 * float((means["mean"] + means["sd"]).max()))
        axes.set_xlabel(label)
    panels.rows(both[0], list(ALGORITHMS.values()), 7)
    n = int(summarise(measured, _KEYS, "ns")["n"].min())
    panels.foot(figure, f"x: relative to regular; {'mean ± sd of ' if n > 1 else ''}n = {n} transfers")
    panels.legend(figure, columns=len(numbers))
    return figure


def table(run: Run) -> Table:
    """Return comparisons and processor time by number of subflows and algorithm, with the length of the queue."""
    headings = "subflows", "held", "algorithm", "comparisons", "ratio", "ns", "ratio", "n"
    result = tables.table(run.manifest["title"], headings, ["algorithm"])
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
            mean = means[panel].loc[key]["mean"]
            cells += [f"{mean:.{digits}f}", tables.number(ratio["mean"], ratio["sd"], ratio["n"], sign="±")]
        n = f"{means['ns'].loc[key]['n']:.0f}"
        result.add_row(f"{key[0]}", f"{held[key[0]]:.0f}", ALGORITHMS[key[1]], *cells, n)
    return result
