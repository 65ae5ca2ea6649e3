"""The matrix of middleboxes and stacks: a coloured letter for what became of the connection.

Colours are told apart by readers who do not see all of them, and letters by those who see none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from rich import box
from rich.table import Table

from analysis.load import Run
from analysis.style import COLUMN_WIDTH_IN, look

METRICS = ("verdict",)
"""What it shows of the results, by name (see analysis.compare)."""
KEY_AT_FOOT = True

CHECKSUM = "+dss_checksum=on"
OURS, KERNEL = "python-mptcp", "kernel-mptcp"


@dataclass(frozen=True)
class Verdict:
    """How a verdict is shown; `rank` 0 is the best."""

    letter: str
    meaning: str
    color: str
    ink: str
    rank: int


VERDICTS: Mapping[str, Verdict] = {
    "full": Verdict("M", "MPTCP, both paths", "#0072b2", "white", 0),
    "fewer": Verdict("1", "MPTCP, one path", "#56b4e9", "black", 1),
    "fallback": Verdict("T", "plain TCP, all arrived", "#f0e442", "black", 2),
    "failed": Verdict("x", "failed, in time or at all", "#d55e00", "white", 3),
    "corrupt": Verdict("!", "altered bytes delivered", "#000000", "white", 4),
}

_PLACES = {"second": "on the second path", "both": "on both paths"}


def matrix(run: Run) -> pd.DataFrame:
    """Return the worst verdict of all repetitions: a row for each middlebox, columns (stack, place)."""
    points = run.points.dropna(subset=["verdict"])
    ranks = points.assign(rank=points["verdict"].map(lambda name: VERDICTS[name].rank))
    worst = ranks.groupby(["row", "stack", "place"])["rank"].max().unstack(["stack", "place"])
    rows = list(dict.fromkeys(points["row"]))
    columns = [(stack, place) for stack in run.stacks for place in _PLACES if (stack, place) in worst.columns]
    names = {verdict.rank: name for name, verdict in VERDICTS.items()}
    return worst.reindex(index=rows, columns=pd.MultiIndex.from_tuples(columns)).map(names.get, na_action="ignore")


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
    return VERDICTS[verdict].rank if isinstance(verdict, str) else -1


def draw(run: Run) -> Figure:
    """Return the matrix."""
    found = matrix(run)
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 1.6 + 0.145 * len(found)))
    axes = figure.subplots()
    for place, (_, cells) in enumerate(found.items()):
        for line, name in enumerate(cells):
            if isinstance(name, str):
                verdict = VERDICTS[name]
                axes.add_patch(_cell(place, line, verdict.color))
                axes.text(place, line, verdict.letter, ha="center", va="center", color=verdict.ink, fontsize=6)
    axes.set_xlim(-0.5, len(found.columns) - 0.5)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_yticks(range(len(found)), found.index, fontsize=6)
    labels = [f"{_label(stack)}, {place}" for stack, place in found.columns]
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="left", rotation_mode="anchor", fontsize=6)
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    present = {name for name in found.to_numpy().ravel() if isinstance(name, str)}
    handles = [
        Patch(color=verdict.color, label=f"{verdict.letter}  {verdict.meaning}")
        for name, verdict in VERDICTS.items()
        if name in present
    ]
    if found.isna().to_numpy().any():
        handles.append(Patch(facecolor="white", edgecolor="#999999", label="    not played"))
    title = "second, both: the box is on the second path alone, on both paths"
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=6, title=title, title_fontsize=6)
    return figure


def _cell(place: int, line: int, color: str) -> Rectangle:
    return Rectangle((place - 0.5, line - 0.5), 1, 1, facecolor=color, edgecolor="white", linewidth=1)


def _label(stack: str) -> str:
    plain, checksum, _ = stack.partition(CHECKSUM)
    return look(plain).label + (" + checksum" if checksum else "")


def table(run: Run) -> Table:
    """Return the matrix in the figure's letters, and below what they mean, and where our stack is worse."""
    found = matrix(run)
    letters = "; ".join(f"{verdict.letter} {verdict.meaning}" for verdict in VERDICTS.values())
    caption = (
        f"boxes on the second path, on both: {letters}\n"
        f"Python MPTCP worse than kernel MPTCP: {'; '.join(worse_rows(run)) or 'nowhere'}"
    )
    result = Table(
        title=run.manifest["title"], caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    result.add_column("middlebox", no_wrap=True)
    stacks = list(dict.fromkeys(stack for stack, _ in found.columns))
    for stack in stacks:
        result.add_column(_label(stack), justify="center")
    for row, cells in found.iterrows():
        verdicts = ([cells.get((stack, place)) for place in _PLACES] for stack in stacks)
        result.add_row(str(row), *("  ".join(map(_letter, of_stack)) for of_stack in verdicts))
    return result


def _letter(verdict: object) -> str:
    return VERDICTS[verdict].letter if isinstance(verdict, str) else " "
