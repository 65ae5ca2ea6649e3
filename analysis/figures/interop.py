"""The matrix of features, roles and IP versions: our stack with the kernel's MPTCP as its peer.

Colours are told apart by readers who do not see all of them, and signs by those who see none.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from analysis import metrics, panels, tables
from analysis.load import Run
from analysis.panels import Sign

_CELLS = "cells_"
METRICS = (f"{_CELLS}*",)
KEY_AT_FOOT = True

_FONT = 5.5


OUTCOMES: Mapping[str, Sign] = {
    "passed": Sign("+", "passed", "#0072b2", "white"),
    "unsupported": Sign("\N{EN DASH}", "impossible: not in the kernel, or no room", "#f0e442", "black"),
    "failed": Sign("x", "failed", "#d55e00", "white"),
}


def cells(run: Run) -> pd.DataFrame:
    """Return one row a cell: `group`, `feature`, `ours` (our role), `family`, and the worst `outcome` of all times."""
    names = [name for name in run.points.columns if name.startswith(_CELLS)]
    long = run.points.melt(["group", "family"], names, "cell", "outcome_of_cell").dropna(subset=["outcome_of_cell"])
    long[["feature", "ours"]] = long["cell"].str.removeprefix(_CELLS).str.rsplit("_", n=1, expand=True).to_numpy()
    worst = metrics.worst(long, ["group", "feature", "ours", "family"], "outcome_of_cell", OUTCOMES)
    return worst.reset_index(name="outcome")


def _columns(found: pd.DataFrame) -> list[tuple[str, str]]:
    families = sorted(found["family"].unique(), key=lambda name: (len(name), name))
    present = set(zip(found["ours"], found["family"], strict=True))
    return [(role, family) for role in ("client", "server") for family in families if (role, family) in present]


def draw(run: Run) -> Figure:
    """Return the matrix: features by group, one row each; a place is empty where the feature is the other role's."""
    found = cells(run)
    columns, lines = _columns(found), _lines(found)
    outcomes = found.pivot(index=["group", "feature"], columns=["ours", "family"], values="outcome")
    figure, (axes,) = panels.column(1, 1.0 + 0.108 * len(lines))
    key = panels.matrix(axes, outcomes.reindex(index=lines, columns=columns), OUTCOMES, _FONT)
    panels.rows(axes, [feature or group for group, feature in lines], _FONT)
    for label, (_, feature) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("normal" if feature else "bold")
    axes.set_xticks(range(len(columns)), [family for _, family in columns], fontsize=_FONT)
    for role, places in _spans(columns).items():
        axes.annotate(
            f"ours is {role}", (sum(places) / 2, 1), (0, 14), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", fontsize=_FONT + 0.5,
        )  # fmt: skip
    panels.legend(figure, key, loc="outside lower center", fontsize=6)
    return figure


def _lines(found: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what stands at each line: a group's name (no feature) above its features."""
    features = dict.fromkeys(zip(found["group"], found["feature"], strict=True))
    groups = dict.fromkeys(group for group, _ in features)
    return [line for group in groups for line in [(group, ""), *(one for one in features if one[0] == group)]]


def _spans(columns: list[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    """Return the first and last column of each role."""
    roles = [role for role, _ in columns]
    return {role: (roles.index(role), len(roles) - 1 - roles[::-1].index(role)) for role in dict.fromkeys(roles)}


def table(run: Run) -> Table:
    """Return how many cells of each group passed, by role and family, and why the others did not."""
    found = cells(run)
    columns = _columns(found)
    result = tables.table(run.manifest["title"], ["group"], words=["group"])
    for role, family in columns:
        result.add_column(f"{role} {family}", justify="right")
    result.add_column("what did not pass")
    for group, members in found.groupby("group", sort=False):
        counts = [
            _passed_of(members[(members["ours"] == role) & (members["family"] == family)]) for role, family in columns
        ]
        result.add_row(str(group), *counts, _why(run, str(group)))
    return result


def _passed_of(members: pd.DataFrame) -> str:
    return f"{(members['outcome'] == 'passed').sum()} of {len(members)}" if len(members) else ""


def _why(run: Run, group: str) -> str:
    points = run.points[run.points["group"] == group]
    texts = [text for name in ("why", "impossible") if name in points for text in points[name].dropna()]
    return "; ".join(dict.fromkeys(text for text in texts if text))
