"""What each collector costs, relative to the same load without any."""

from __future__ import annotations

from itertools import product

import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from analysis.load import Run
from analysis.metrics import summarise
from analysis.style import COLUMN_WIDTH_IN, look

METRICS = ("rate", "programs_cpu_s")
"""What it shows of the results, by name (see analysis.compare)."""

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
    """Return the figure: a bar a stack and load for each collector."""
    summary = _summary(run, "cores")
    collectors = list(dict.fromkeys(summary["collector"]))
    groups = list(summary.groupby(["stack", "load"], sort=False))
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 0.7 + 0.32 * len(collectors)))
    axes = figure.subplots()
    for number, ((stack, load), rows) in enumerate(groups):
        shift = (number - (len(groups) - 1) / 2) * _HEIGHT
        places = [collectors.index(name) + shift for name in rows["collector"]]
        style = look(stack)
        axes.barh(
            places, 100 * rows["mean"], _HEIGHT * 0.9, xerr=100 * rows["sd"], color=style.color,
            alpha=1.0 if load == "http" else 0.5, label=f"{style.label}, {_LOADS[load]}", error_kw={"linewidth": 0.6},
        )  # fmt: skip
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_yticks(range(len(collectors)), [f"({name})" if name == "none" else name for name in collectors])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("cost (% of one core), mean and sd")
    figure.legend(loc="outside upper left", ncols=2, columnspacing=1.2)
    return figure


def table(run: Run) -> Table:
    """Return cost in per cent of a core, and loss of throughput in per cent, by collector, stack and load."""
    cores, losses = (_summary(run, value).set_index(["collector", "stack", "load"]) for value in ("cores", "loss"))
    columns = [column for column in product(run.stacks, _LOADS) if column in {key[1:] for key in cores.index}]
    result = Table(title=run.manifest["title"], box=box.SIMPLE_HEAD, pad_edge=False)
    result.add_column("collector", no_wrap=True)
    for heading in ("stack", "load"):
        result.add_column(heading, no_wrap=True)
    for heading in ("% of a core", "% of throughput", "n"):
        result.add_column(heading, justify="right", no_wrap=True)
    for collector in dict.fromkeys(key[0] for key in cores.index):
        for stack, load in columns:
            key = (collector, stack, load)
            if key not in cores.index:
                continue
            name = "none (noise)" if collector == "none" else collector
            cost, loss = _percent(cores.loc[key]), _percent(losses.loc[key])
            result.add_row(name, look(stack).label, _LOADS[load], cost, loss, f"{cores.loc[key]['n']:.0f}")
    return result


def _percent(cell: pd.Series) -> str:
    return f"{100 * cell['mean']:.1f} ± {100 * cell['sd']:.1f}"
