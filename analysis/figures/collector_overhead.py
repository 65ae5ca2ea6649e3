"""What each collector costs, relative to the same load without any."""

from __future__ import annotations

from itertools import product

import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from analysis import panels, tables
from analysis.load import Run
from analysis.metrics import counted, spread, summarise
from analysis.style import look

METRICS = ("rate", "programs_cpu_s")

_BASELINES = ("none", "none again")
_CELL = ["stack", "load", "repetition"]
_VALUES = ["programs_cpu_s", "rate", "duration_s"]
_LOADS = {"http": "requests", "bulk": "bulk"}
_HEIGHT = 0.2


def costs(run: Run) -> pd.DataFrame:
    """Return one row a point with a collector, or `none`: its `cores` and its `loss`.

    `cores`: how much of a core the collector used while the load ran, and server and client more than without it;
    `loss`: the share of the load's rate that is missing. Without means the mean of two measurements, before and after.
    `none` stands for their difference: the noise.
    """
    points = run.passed
    baseline = points[points["collector"].isin(_BASELINES)]
    means = baseline.groupby(_CELL)[_VALUES].mean()
    before, after = (baseline[baseline["collector"] == name].set_index(_CELL)[_VALUES] for name in _BASELINES)
    watched = points[~points["collector"].isin(_BASELINES)].set_index(_CELL)
    result = pd.concat([_compare(before, after, means).assign(collector="none"), _compare(watched, means, means)])
    return result.reset_index()


def _compare(these: pd.DataFrame, those: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return what `these` cost more than `those`, relative to `means`, which has one row a cell."""
    those, means = those.reindex(these.index), means.reindex(these.index)
    compared = these[["collector"]].copy() if "collector" in these else pd.DataFrame(index=these.index)
    own_s = these["collector_cpu_s"].fillna(0) if "collector_cpu_s" in these else 0
    compared["cores"] = (own_s + these["programs_cpu_s"] - those["programs_cpu_s"]) / means["duration_s"]
    compared["loss"] = (those["rate"] - these["rate"]) / means["rate"]
    return compared.dropna()


def _summary(run: Run, value: str) -> pd.DataFrame:
    return summarise(costs(run), ["collector", "stack", "load"], value)


def draw(run: Run) -> Figure:
    """Return the figure: a marker a stack and load for each collector, over what two measurements without differ by."""
    summary = _summary(run, "cores")
    collectors = [name for name in dict.fromkeys(summary["collector"]) if name != "none"]
    groups = list(summary.groupby(["stack", "load"], sort=False))
    figure, (axes,) = panels.column(1, 1.0 + 0.3 * len(collectors))
    for number, ((stack, load), rows) in enumerate(groups):
        rows = rows[rows["collector"] != "none"]
        places = [collectors.index(name) + panels.shift(number, len(groups), _HEIGHT) for name in rows["collector"]]
        style = look(stack)
        panels.marks(
            axes, places, 100 * rows["mean"], style, spread(rows, 0.01), label=f"{style.label}, {_LOADS[load]}",
            markerfacecolor=style.color if load == "http" else "white",
        )  # fmt: skip
    axes.axvspan(-100 * noise(run), 100 * noise(run), color="#000000", alpha=0.08, linewidth=0, label="noise")
    axes.axvline(0, color="black", linewidth=0.6)
    panels.rows(axes, collectors, 7)
    axes.set_xlabel(f"cost (% of one core); {counted(summary)}")
    panels.legend(figure)
    panels.foot(figure, f"noise: most by which two without any differed ({100 * noise(run):.0f} %)")
    return figure


def noise(run: Run) -> float:
    """Return the most that the two measurements without a collector differed by, in cores: no less can be told."""
    found = costs(run)
    return float(found.loc[found["collector"] == "none", "cores"].abs().max())


def table(run: Run) -> Table:
    """Return cost in per cent of a core, and loss of throughput in per cent, by collector, stack and load."""
    cores, losses = (_summary(run, value).set_index(["collector", "stack", "load"]) for value in ("cores", "loss"))
    words = "collector", "stack", "load"
    result = tables.table(run.manifest["title"], [*words, "% of a core", "% of throughput", "n"], words)
    for collector in dict.fromkeys(key[0] for key in cores.index):
        for stack, load in product(run.stacks, _LOADS):
            key = (collector, stack, load)
            if key not in cores.index:
                continue
            name = "none (noise)" if collector == "none" else collector
            cost, loss = _percent(cores.loc[key]), _percent(losses.loc[key])
            result.add_row(name, look(stack).label, _LOADS[load], cost, loss, f"{cores.loc[key]['n']:.0f}")
    return result


def _percent(cell: pd.Series) -> str:
    return tables.number(100 * cell["mean"], 100 * cell["sd"], cell["n"], ".1f")
