"""How long one transfer over two paths took, beside what the sum of the paths would need."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from analysis import networks
from analysis.load import Run
from analysis.metrics import bars, counted, summarise
from analysis.style import COLUMN_WIDTH_IN, look

METRICS = ("elapsed_s",)
"""What it shows of the results, by name (see analysis.compare)."""

_GROUP_HEIGHT = 0.7


def summary(run: Run) -> pd.DataFrame:
    """Return n, mean and spread of the seconds by case, direction and stack, and the time allowed."""
    by = ["case", "direction", "stack"]
    times = summarise(run.passed, by, "elapsed_s")
    return times.merge(run.passed.groupby(by, as_index=False)["limit_s"].first(), on=by)


def draw(run: Run) -> Figure:
    """Return the figure: a bar a stack, a line where the time allowed ends."""
    times = summary(run)
    groups = list(dict.fromkeys(zip(times["case"], times["direction"], strict=True)))
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 0.9 + 0.4 * len(groups)))
    axes = figure.subplots()
    height = _GROUP_HEIGHT / len(run.stacks)
    for number, stack in enumerate(run.stacks):
        rows = times[times["stack"] == stack]
        places = [
            groups.index(group) + (number - (len(run.stacks) - 1) / 2) * height
            for group in zip(rows["case"], rows["direction"], strict=True)
        ]
        style = look(stack)
        axes.barh(
            places, rows["mean"], height * 0.9, xerr=bars(rows), label=style.label, color=style.color, alpha=0.85,
            error_kw={"elinewidth": 0.8, "capsize": 1.5, "capthick": 0.8},
        )  # fmt: skip
        axes.vlines(
            rows["limit_s"], [place - height / 2 for place in places], [place + height / 2 for place in places],
            color="#222222", linewidth=1, label="allowed" if not number else None,
        )  # fmt: skip
    axes.set_yticks(range(len(groups)), [f"{_words(run, case)}\n{direction}" for case, direction in groups], fontsize=6)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"time for {run.parameters['size'] / 1e6:g} MB (s); {counted(times)}")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2)
    return figure


def table(run: Run) -> Table:
    """Return seconds by case, direction and stack, with what was allowed."""
    result = Table(title=run.manifest["title"], box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("paths", "direction", "stack", "s", "allowed", "within", "n"):
        result.add_column(
            heading, justify="left" if heading in ("paths", "direction", "stack") else "right", no_wrap=True
        )
    for row in summary(run).itertuples():
        spread = f" ± {row.sd:.2f}" if row.n > 1 else ""
        result.add_row(
            _words(run, row.case), row.direction, look(row.stack).label, f"{row.mean:.2f}{spread}",
            f"{row.limit_s:.2f}", "yes" if row.max <= row.limit_s else "no", f"{row.n}",
        )  # fmt: skip
    return result


def _words(run: Run, case: str) -> str:
    rates, delays = case.split(":")
    return networks.rates_and_delays(run, "case", case, f"{rates} Mbit/s, {delays} ms")
