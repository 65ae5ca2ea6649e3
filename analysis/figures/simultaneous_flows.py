"""How long one transfer over two paths took, beside what the sum of the paths would need."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from analysis import networks, panels, tables
from analysis.load import Run
from analysis.metrics import counted, spread, summarise
from analysis.style import INK, look

METRICS = ("elapsed_s",)

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
    figure, (axes,) = panels.column(1, 0.9 + 0.4 * len(groups))
    height = _GROUP_HEIGHT / len(run.stacks)
    for number, stack in enumerate(run.stacks):
        rows = times[times["stack"] == stack]
        places = [
            groups.index(group) + panels.shift(number, len(run.stacks), height)
            for group in zip(rows["case"], rows["direction"], strict=True)
        ]
        style = look(stack)
        panels.bars(axes, places, rows["mean"], spread(rows), height, label=style.label, color=style.color, alpha=0.85)
        axes.vlines(
            rows["limit_s"], [place - height / 2 for place in places], [place + height / 2 for place in places],
            color=INK, linewidth=1, label="allowed" if not number else None,
        )  # fmt: skip
    panels.rows(axes, [f"{_words(run, case)}\n{direction}" for case, direction in groups])
    axes.set_xlabel(f"time for {run.parameters['size'] / 1e6:g} MB (s); {counted(times)}")
    panels.legend(figure, columns=3)
    return figure


def table(run: Run) -> Table:
    """Return seconds by case, direction and stack, with what was allowed."""
    words = "paths", "direction", "stack"
    result = tables.table(run.manifest["title"], [*words, "s", "allowed", "within", "n"], words)
    for row in summary(run).itertuples():
        result.add_row(
            _words(run, row.case), row.direction, look(row.stack).label, tables.number(row.mean, row.sd, row.n),
            f"{row.limit_s:.2f}", "yes" if row.max <= row.limit_s else "no", f"{row.n}",
        )  # fmt: skip
    return result


def _words(run: Run, case: str) -> str:
    rates, delays = case.split(":")
    return networks.rates_and_delays(run, "case", case, f"{rates} Mbit/s, {delays} ms")
