"""A connection's sequence numbers over time: those of the connection above, those of each subflow below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter
from rich.table import Table

from analysis import files, panels, sequences, style, tables
from analysis.figures import rendered
from analysis.sequences import ACK, DATA_ACK, DATA_FIN, LATE, REINJECTED, RETRANSMITTED, SENT, WINDOW, Connection

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5c00", "#999999")
"""By subflow (Okabe and Ito)."""
_MARKERS = {REINJECTED: "D", RETRANSMITTED: "X", LATE: "o", DATA_FIN: "s"}
"""What is not sent for the first time, and the end of data."""
_LINES: Mapping[str, tuple[str, Literal["-", ":"]]] = {
    DATA_ACK: ("#777777", "-"),
    ACK: ("#777777", "-"),
    WINDOW: ("#222222", ":"),
}
_LABELS = {DATA_ACK: "acknowledged", ACK: "acknowledged", WINDOW: "receive window", DATA_FIN: "end of data"}
_HEADROOM = 1.25
"""How far above the data the picture goes at most; a window edge beyond it would press them flat."""
_VECTOR_MARKS = 5000
"""More are drawn as pixels, in PDF too."""
_MANY_MARKS = 30
"""More of a kind are drawn small: side by side they would be a black band of edges."""
_TABLE_ROWS = 20


def draw(marks: pd.DataFrame, subflows: Sequence[str]) -> Figure:
    """Return the figure of marks as `sequences.Connection.marks` gives them; `subflows` are the panels' titles.

    Subflows that carried nothing have no panel.
    """
    numbers = [int(number) for number in sorted(marks[marks["kind"].isin(SENT)]["subflow"].unique())]
    heights = [2.2, *[1.0] * len(numbers)]
    figure, (top, *below) = panels.column(len(heights), 2.6 + 1.1 * len(numbers), height_ratios=heights)
    _panel(top, marks, "dsn", (DATA_ACK, WINDOW))
    top.set_ylabel("data sequence number")
    for axes, number in zip(below, numbers, strict=True):
        _panel(axes, marks[marks["subflow"] == number], "ssn", (ACK,))
        axes.set_title(f"subflow {number}: {subflows[number]}", fontsize=6, pad=2)
        axes.set_ylabel("sequence\nnumber")
    (below or [top])[-1].set_xlabel("time (s)")
    panels.legend(figure, _legend(marks, numbers), 3, handlelength=1.4)
    return figure


def table(connections: Sequence[Connection]) -> Table:
    """Return the connections that there are, the largest ones when they are many."""
    largest = sorted(connections, key=lambda one: -sum(one.sent_bytes.values()))[:_TABLE_ROWS]
    title = f"{len(connections)} MPTCP connections" + f", the largest {_TABLE_ROWS}" * (len(connections) > _TABLE_ROWS)
    headings = "number", "tokens", "first subflow", "subflows", "client sent, B", "server sent, B"
    result = tables.table(title, headings, words=("tokens", "first subflow"), wrap=True)
    for one in largest:
        tokens = " ".join(sequences.token_text(token) for token in one.tokens.values())
        sent = (f"{one.sent_bytes[sender]:,}".replace(",", " ") for sender in sequences.SENDERS)
        result.add_row(f"{one.number}", tokens, one.subflows[0], f"{len(one.subflows)}", *sent)
    return result


def row(one: Connection) -> dict[str, object]:
    """Return what the table says of a connection, as JSON has it."""
    return {
        "number": one.number,
        "tokens": {side: sequences.token_text(token) for side, token in one.tokens.items()},
        "subflows": one.subflows,
        "sent_bytes": one.sent_bytes,
    }


def save(marks: pd.DataFrame, subflows: Sequence[str], directory: Path, name: str) -> list[Path]:
    """Draw marks to PNG and PDF in `directory`; return the paths."""
    style.apply()
    figure = draw(marks, subflows)
    directory.mkdir(parents=True, exist_ok=True)
    paths = [files.within(directory, f"{name}.{kind}") for kind in ("png", "pdf")]
    for path in paths:
        files.replace(path, rendered(figure, path.suffix.removeprefix(".")))
    return paths


def _panel(axes: Axes, marks: pd.DataFrame, column: str, lines: Sequence[str]) -> None:
    """Draw marks against the sequence numbers in a column."""
    marks = marks.dropna(subset=[column])
    sent = marks[marks["kind"].isin(SENT)]
    for number, own in _by_subflow(sent):
        _draw_ranges(axes, own, column, _color(number))
    for kind in lines:
        line = marks[marks["kind"] == kind]
        color, linestyle = _LINES[kind]
        axes.step(line["time_s"], line[column].astype(float), linestyle, where="post", color=color, linewidth=0.8)
    for kind, marker in _MARKERS.items():
        own_kind = marks[marks["kind"] == kind]
        if kind == DATA_FIN:  # is on every segment after it, too
            own_kind = own_kind.head(1)
        for number, own in _by_subflow(own_kind):
            middles = own[column].astype(float) + own["length_bytes"].fillna(0).astype(float) / 2
            size, edge = (14, 0.5) if len(own) <= _MANY_MARKS else (4, 0.2)
            axes.scatter(own["time_s"], middles, marker=marker, s=size, linewidths=edge, zorder=2 + (kind != DATA_FIN),
                         facecolor=_face(kind, number), edgecolor="black",
                         rasterized=len(own) > _VECTOR_MARKS)  # fmt: skip
    axes.yaxis.set_major_formatter(EngFormatter("B"))
    _limit(axes, sent, column)


def _by_subflow(marks: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    for number in sorted(marks["subflow"].unique()):
        yield int(number), marks[marks["subflow"] == number]


def _draw_ranges(axes: Axes, sent: pd.DataFrame, column: str, color: str) -> None:
    """Draw each segment as the range of numbers that it takes."""
    times, starts = sent["time_s"].to_numpy(), sent[column].astype(float).to_numpy()
    ends = starts + sent["length_bytes"].astype(float).to_numpy()
    ranges = np.stack([np.column_stack([times, starts]), np.column_stack([times, ends])], axis=1)
    axes.add_collection(
        LineCollection(list(ranges), colors=color, linewidths=1.6, capstyle="projecting",
                       rasterized=len(ranges) > _VECTOR_MARKS)
    )  # fmt: skip


def _limit(axes: Axes, sent: pd.DataFrame, column: str) -> None:
    axes.autoscale_view()
    if sent.empty:
        axes.text(0.5, 0.5, "nothing to show: no data were mapped", transform=axes.transAxes, ha="center", fontsize=7)
        return
    low, high = float(sent[column].min()), float((sent[column] + sent["length_bytes"]).max())
    bottom, top = axes.get_ylim()
    span = (high - low) or 1.0
    axes.set_ylim(max(bottom, low - 0.05 * span), min(top, low + _HEADROOM * span))


def _legend(marks: pd.DataFrame, numbers: Sequence[int]) -> list[Line2D]:
    present = set(marks["kind"])
    handles = [Line2D([], [], color=_color(number), linewidth=1.6, label=f"subflow {number}") for number in numbers]
    handles += [
        Line2D([], [], linestyle="", marker=marker, markersize=4, markeredgewidth=0.5, label=_LABELS.get(kind, kind),
               markerfacecolor=_face(kind, None), markeredgecolor="black")
        for kind, marker in _MARKERS.items() if kind in present
    ]  # fmt: skip
    labels = {_LABELS[kind]: _LINES[kind] for kind in _LINES if kind in present}
    return handles + [
        Line2D([], [], color=color, linestyle=linestyle, linewidth=0.8, label=label)
        for label, (color, linestyle) in labels.items()
    ]


def _color(number: int) -> str:
    return _COLORS[number % len(_COLORS)]


def _face(kind: str, number: int | None) -> str:
    """Return the filling of a marker: the subflow's colour for what was sent again, white for the rest."""
    if kind not in (REINJECTED, RETRANSMITTED):
        return "white"
    return "#dddddd" if number is None else _color(number)
