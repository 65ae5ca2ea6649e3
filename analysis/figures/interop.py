"""The matrix of features, roles and IP versions: our stack with the kernel's MPTCP as its peer.

Colours are told apart by readers who do not see all of them, and signs by those who see none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from rich import box
from rich.table import Table

from analysis.load import Run
from analysis.style import COLUMN_WIDTH_IN

_CELLS = "cells_"
METRICS = (f"{_CELLS}*",)
"""What it shows of the results, by name (see analysis.compare)."""
KEY_AT_FOOT = True

_FONT = 5.5


@dataclass(frozen=True)
class Outcome:
    """How an outcome is shown; `rank` 0 is the best."""

    sign: str
    meaning: str
    color: str
    ink: str
    rank: int


OUTCOMES: Mapping[str, Outcome] = {
    "passed": Outcome("+", "passed", "#0072b2", "white", 0),
    "unsupported": Outcome("\N{EN DASH}", "impossible: not in the kernel, or no room", "#f0e442", "black", 1),
    "failed": Outcome("x", "failed", "#d55e00", "white", 2),
}
_BY_RANK = {outcome.rank: name for name, outcome in OUTCOMES.items()}


def cells(run: Run) -> pd.DataFrame:
    """Return one row a cell: `group`, `feature`, `ours` (our role), `family`, and the worst `outcome` of all times."""
    names = [name for name in run.points.columns if name.startswith(_CELLS)]
    long = run.points.melt(["group", "family"], names, "cell", "outcome_of_cell").dropna(subset=["outcome_of_cell"])
    long[["feature", "ours"]] = long["cell"].str.removeprefix(_CELLS).str.rsplit("_", n=1, expand=True).to_numpy()
    long["rank"] = long["outcome_of_cell"].map(lambda name: OUTCOMES[name].rank)
    worst = long.groupby(["group", "feature", "ours", "family"], sort=False, as_index=False)["rank"].max()
    return worst.assign(outcome=worst["rank"].map(_BY_RANK)).drop(columns="rank")


def _columns(found: pd.DataFrame) -> list[tuple[str, str]]:
    families = sorted(found["family"].unique(), key=lambda name: (len(name), name))
    present = set(zip(found["ours"], found["family"], strict=True))
    return [(role, family) for role in ("client", "server") for family in families if (role, family) in present]


def draw(run: Run) -> Figure:
    """Return the matrix: features by group, one row each; a place is empty where the feature is the other role's."""
    found = cells(run)
    columns = _columns(found)
    lines = _lines(found)
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 1.0 + 0.108 * len(lines)))
    axes = figure.subplots()
    for row in found.itertuples():
        place, line = columns.index((row.ours, row.family)), lines.index((row.group, row.feature))
        outcome = OUTCOMES[row.outcome]
        axes.add_patch(
            Rectangle((place - 0.5, line - 0.5), 1, 1, facecolor=outcome.color, edgecolor="white", linewidth=0.7)
        )
        axes.text(place, line, outcome.sign, ha="center", va="center", color=outcome.ink, fontsize=_FONT)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(range(len(lines)), [feature or group for group, feature in lines], fontsize=_FONT)
    for label, (_, feature) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("normal" if feature else "bold")
    axes.set_xticks(range(len(columns)), [family for _, family in columns], fontsize=_FONT)
    for role, places in _spans(columns).items():
        axes.annotate(
            f"ours is {role}", (sum(places) / 2, 1), (0, 14), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", fontsize=_FONT + 0.5,
        )  # fmt: skip
    axes.tick_params(length=0, pad=2, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    counts = Counter(found["outcome"])
    handles = [
        Patch(color=outcome.color, label=f"{outcome.sign}  {outcome.meaning} ({counts[name]})")
        for name, outcome in OUTCOMES.items()
        if counts[name]
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=6)
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
    result = Table(title=run.manifest["title"], box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    result.add_column("group", no_wrap=True)
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
