"""Results of an experiment that has no figure of its own: each repetition as a dot, their mean as a stroke.

A row for each stack and combination of factors, a panel for each result: those that the experiment names in `shows`,
else the first numbers in its table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from analysis import panels, tables
from analysis.load import Run
from analysis.metrics import CLOCKS, summarise
from analysis.style import look

_MOST_PANELS: Final = 4
_MOST_ROWS: Final = 60
"""More than a page has room for; the table has all."""


def shown(run: Run) -> list[str]:
    """Return the names of the results that are shown."""
    numbers = [name for name in run.points.select_dtypes("number") if name not in (*run.factors, "repetition", *CLOCKS)]
    named = [name for name in run.manifest.get("shows", ()) if name in numbers]
    return (named or numbers)[:_MOST_PANELS]


def draw(run: Run) -> Figure:
    """Return the figure: a panel a result, a row a stack and combination of factors."""
    keys = _keys(run)
    groups = [(dict(zip(keys, _tuple(key), strict=True)), found) for key, found in _grouped(run.passed, keys)]
    groups = groups[:_MOST_ROWS]
    names = shown(run)
    height_in = 0.5 + max(1, len(names)) * (0.45 + 0.17 * len(groups))
    figure, of_results = panels.column(max(1, len(names)), height_in, sharex=False)
    for axes, name in zip(of_results, names, strict=False):
        for place, (key, found) in enumerate(groups):
            values = found[name].dropna()
            panels.dots(axes, place, values, values.mean(), look(str(key["stack"])))
        panels.rows(axes, [_label(key, keys) for key, _ in groups])
        axes.set_xlabel(name)
    count = min((len(found) for _, found in groups), default=0)
    marks = f"dots: n = {count}{', |: mean' if count > 1 else ''}"
    of_results[0].set_title(f"{run.manifest['title']}; {marks}", fontsize=6.5)
    return figure


def table(run: Run) -> Table:
    """Return mean and spread of each result by stack and factors."""
    keys, names = _keys(run), shown(run)
    result = tables.table(run.manifest["title"], [*keys, *names, "n"], keys, wrap=True)
    summaries = {name: summarise(run.passed, keys, name).set_index(keys) for name in names}
    for key, found in _grouped(run.passed, keys):
        values = dict(zip(keys, _tuple(key), strict=True))
        words = [look(str(value)).label if name == "stack" else str(value) for name, value in values.items()]
        result.add_row(*words, *(_cell(summaries[name], key) for name in names), str(len(found)))
    return result


def _keys(run: Run) -> list[str]:
    return ["stack", *run.factors]


def _grouped(points: pd.DataFrame, keys: Sequence[str]) -> list[tuple[object, pd.DataFrame]]:
    return list(points.groupby(list(keys), sort=False, dropna=False))


def _tuple(key: object) -> tuple[object, ...]:
    return key if isinstance(key, tuple) else (key,)


def _label(key: dict[str, object], keys: Sequence[str]) -> str:
    words = [look(str(key["stack"])).label, *(f"{name} {key[name]}" for name in keys if name != "stack")]
    return ", ".join(words)


def _cell(summary: pd.DataFrame, key: object) -> str:
    if _tuple(key) not in summary.index and key not in summary.index:
        return ""
    row = summary.loc[_tuple(key) if len(_tuple(key)) > 1 else _tuple(key)[0]]
    spread = f" ± {row['sd']:.3g}" if row["n"] > 1 else ""
    return f"{row['mean']:.4g}{spread}"
