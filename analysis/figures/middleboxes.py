"""The matrix of middleboxes and stacks: a coloured letter for what became of the connection.

Colours are told apart by readers who do not see all of them, and letters by those who see none.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich.table import Table

from analysis import metrics, panels, tables
from analysis.load import Run
from analysis.panels import Sign
from analysis.style import look

METRICS = ("verdict",)
KEY_AT_FOOT = True

CHECKSUM = "+dss_checksum=on"
OURS, KERNEL = "python-mptcp", "kernel-mptcp"


VERDICTS: Mapping[str, Sign] = {
    "full": Sign("M", "MPTCP, both paths", "#0072b2", "white"),
    "fewer": Sign("1", "MPTCP, one path", "#56b4e9", "black"),
    "fallback": Sign("T", "plain TCP, all arrived", "#f0e442", "black"),
    "failed": Sign("x", "failed, in time or at all", "#d55e00", "white"),
    "corrupt": Sign("!", "altered bytes delivered", "#000000", "white"),
}

_PLACES = {"second": "on the second path", "both": "on both paths"}


def matrix(run: Run) -> pd.DataFrame:
    """Return the worst verdict of all repetitions: a row for each middlebox, columns (stack, place)."""
    points = run.points.dropna(subset=["verdict"])
    found = metrics.worst(points, ["row", "stack", "place"], "verdict", VERDICTS).unstack(["stack", "place"])
    columns = [(stack, place) for stack in run.stacks for place in _PLACES if (stack, place) in found.columns]
    return found.reindex(index=list(dict.fromkeys(points["row"])), columns=pd.MultiIndex.from_tuples(columns))


def worse_rows(run: Run) -> list[str]:
    """Return where our stack came out worse than the kernel's MPTCP, each with and without checksums."""
    found = matrix(run)
    return [
        f"{row}, {_PLACES[place]}{', with checksums' if extra else ''}"
        for row in found.index
        for place in _PLACES
        for extra in ("", CHECKSUM)
        if _rank(found, row, OURS + extra, place) > _rank(found, row, KERNEL + extra, place) >= 0
    ]


def _rank(found: pd.DataFrame, row: str, stack: str, place: str) -> int:
    verdict = found.at[row, (stack, place)] if (stack, place) in found.columns else None
    return list(VERDICTS).index(verdict) if isinstance(verdict, str) else -1


def draw(run: Run) -> Figure:
    """Return the matrix."""
    found = matrix(run)
    figure, (axes,) = panels.column(1, 1.6 + 0.145 * len(found))
    key = panels.matrix(axes, found, VERDICTS, 6)
    panels.rows(axes, found.index)
    labels = [f"{_label(stack)}, {place}" for stack, place in found.columns]
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="left", rotation_mode="anchor", fontsize=6)
    if found.isna().to_numpy().any():
        key.append(Patch(facecolor="white", edgecolor="#999999", label="    not played"))
    title = "second, both: the box is on the second path alone, on both paths"
    panels.legend(figure, key, loc="outside lower center", fontsize=6, title=title, title_fontsize=6)
    return figure


def _label(stack: str) -> str:
    plain, checksum, _ = stack.partition(CHECKSUM)
    return look(plain).label + (" + checksum" if checksum else "")


def table(run: Run) -> Table:
    """Return the matrix in the figure's letters, and below what they mean, and where our stack is worse."""
    found = matrix(run)
    letters = "; ".join(f"{verdict.sign} {verdict.meaning}" for verdict in VERDICTS.values())
    caption = (
        f"boxes on the second path, on both: {letters}\n"
        f"Python MPTCP worse than kernel MPTCP: {'; '.join(worse_rows(run)) or 'nowhere'}"
    )
    result = tables.table(run.manifest["title"], ["middlebox"], ["middlebox"], caption)
    stacks = list(dict.fromkeys(stack for stack, _ in found.columns))
    for stack in stacks:
        result.add_column(_label(stack), justify="center")
    for row, cells in found.iterrows():
        verdicts = ([cells.get((stack, place)) for place in _PLACES] for stack in stacks)
        result.add_row(str(row), *("  ".join(map(_letter, of_stack)) for of_stack in verdicts))
    return result


def _letter(verdict: object) -> str:
    return VERDICTS[verdict].sign if isinstance(verdict, str) else " "
