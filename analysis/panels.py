"""The panels that figures are made of: a figure's module says what is shown, this one how it is drawn.

There are lines with their spread (`line`); rows of bars, dots, or marks with their ranges (`rows`, `bars`, `dots`,
`marks`, `ranges`), which may stand `upright` as columns; a matrix of signs (`matrix`); and what goes in steps:
distributions, and rates over time (`steps`, `moments`). A figure begins with `column` or `row`, and ends with `legend`
and `foot`::

    figure, (axes,) = panels.column(1, 2.6)
    for number, stack in enumerate(run.stacks):
        rows = rates[rates["stack"] == stack]
        panels.line(axes, rows["size_bytes"], rows["mean"], look(stack), spread(rows), (number, len(run.stacks)))
    panels.legend(figure)
    panels.foot(figure, counted(rates))

Lengths are in inches, points of type, or units of the axes that they are drawn in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from analysis.style import COLUMN_WIDTH_IN, INK, Look

FOOT_POINTS: Final = 6.5
THICK_AND_THIN: Final = "thick: all repetitions; thin: each one"
"""What `steps` draws, for the foot of a figure."""

_LINE: Final[Mapping[str, Any]] = {"markersize": 3, "linewidth": 0.9}
_WHISKERS: Final[Mapping[str, Any]] = {"elinewidth": 0.8, "capthick": 0.8}
_CAP_OF_LINES: Final = 3.0
"""Wider than a marker, or a small spread could not be seen."""
_CAP_OF_BARS: Final = 1.5


def column(count: int, height_in: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure, as wide as a column of text, of panels below each other that have one horizontal axis.

    `options` are those of `Figure.subplots`.
    """
    figure = Figure(figsize=(COLUMN_WIDTH_IN, height_in))
    return figure, list(figure.subplots(count, 1, squeeze=False, **{"sharex": True, **options})[:, 0])


def row(count: int, height_in: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels beside each other that have one vertical axis; see `column`."""
    figure = Figure(figsize=(COLUMN_WIDTH_IN, height_in))
    return figure, list(figure.subplots(1, count, squeeze=False, **{"sharey": True, **options})[0])


def legend(figure: Figure, handles: Iterable[Any] | None = None, columns: int = 2, **options: Any) -> None:
    """Put the key of a figure above its panels: `handles`, or all that has a label in them.

    A tuple of handles is one entry, with the label of its first.
    """
    handles = list(labelled(figure) if handles is None else handles)
    labels = [(one if hasattr(one, "get_label") else one[0]).get_label() for one in handles]
    figure.legend(handles, labels, **{"loc": "outside upper left", "ncols": columns, **options})


def labelled(figure: Figure) -> list[Any]:
    """Return what has a label in the panels of a figure, the first of each label."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values())


def foot(figure: Figure, text: str) -> Text:
    """Write below the panels what the marks are."""
    return figure.supxlabel(text, fontsize=FOOT_POINTS, color="#444444", x=0.02, ha="left")


def logarithmic(axes: Axes, name: Literal["x", "y"], subs: Sequence[float] = (1,)) -> None:
    """Make an axis logarithmic, with numbers as they are at `subs` times the powers of ten."""
    axes.set(**{f"{name}scale": "log"})
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(lambda value, _: f"{value:,.12g}")
    axis.set_minor_formatter(NullFormatter())


def shift(number: int, of: int, step: float) -> float:
    """Return how far from their middle the one of this number (from 0) stands, of as many that are a `step` apart."""
    return (number - (of - 1) / 2) * step


def aside(axes: Axes, drawn: Iterable[Artist], place: tuple[int, int], step_pt: float = 2) -> None:
    """Move markers and whiskers of a series some points aside, by its number (from 0) and how many there are.

    So none hides another. Lines stay where they are: one that falls would look higher than it is when moved to the
    right, and cross others at other places.
    """
    moved = axes.transData + ScaledTranslation(shift(*place, step_pt) / 72, 0, axes.figure.dpi_scale_trans)
    for artist in drawn:
        if isinstance(artist, Line2D) and (linestyle := artist.get_linestyle()) != "None":
            (line,) = axes.plot(*artist.get_data(), linestyle=linestyle, zorder=artist.get_zorder())
            line.set(color=artist.get_color(), linewidth=artist.get_linewidth())
            artist.set_linestyle("None")
        artist.set_transform(moved)


def line(
    axes: Axes, x: pd.Series, y: pd.Series, style: Look, spread: Any, place: tuple[int, int], step_pt: float = 2,
    **options: Any,
) -> None:  # fmt: skip
    """Draw one of several lines, and at each marker its spread (None without), put `aside` of the others' by its place.

    `options` are those of `Axes.errorbar`.
    """
    looks = {"color": style.color, "marker": style.marker, "linestyle": style.linestyle, **_LINE, **options}
    drawn = axes.errorbar(x, y, yerr=spread, capsize=_CAP_OF_LINES, **_WHISKERS, **looks)
    aside(axes, drawn.get_children(), place, step_pt)


def rows(axes: Axes, labels: Sequence[str], fontsize: float = 6) -> None:
    """Name the rows of a panel, from above: row n is at n on its axis."""
    axes.set_yticks(range(len(labels)), labels, fontsize=fontsize)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def bars(
    axes: Axes, places: Iterable[float], lengths: pd.Series, spread: Any = None, height: float = 0.78, *,
    upright: bool = False, **options: Any,
) -> BarContainer:  # fmt: skip
    """Draw bars at the places of rows, with their spread (None without); `height` includes the gap between two.

    `options` are those of `Axes.barh`.
    """
    whiskers = {**_WHISKERS, "capsize": _CAP_OF_BARS}
    if upright:
        axes.grid(visible=False, axis="x")
        return axes.bar(list(places), lengths, 0.9 * height, yerr=spread, error_kw=whiskers, **options)
    axes.grid(visible=False, axis="y")
    return axes.barh(list(places), lengths, 0.9 * height, xerr=spread, error_kw=whiskers, **options)


def marks(
    axes: Axes, places: Iterable[float], values: Iterable[float], style: Look, spread: Any = None, *,
    upright: bool = False, **options: Any,
) -> None:  # fmt: skip
    """Draw markers at the places of rows, with their spread (None without). `options` are those of `Axes.errorbar`."""
    looks = {"color": style.color, "marker": style.marker, "linestyle": "", "markersize": 3.5, **options}
    whiskers = {**_WHISKERS, "capsize": _CAP_OF_BARS}
    if upright:
        axes.errorbar(list(places), list(values), yerr=spread, **whiskers, **looks)
    else:
        axes.errorbar(list(values), list(places), xerr=spread, **whiskers, **looks)


def ranges(
    axes: Axes, places: Iterable[float], least: Any, most: Any, style: Look, *, upright: bool = False, **options: Any
) -> None:
    """Draw lines from the `least` to the `most` at the places of rows, for marks to stand on.

    `options` are those of `Axes.hlines`.
    """
    draw = axes.vlines if upright else axes.hlines
    draw(list(places), least, most, **{"color": style.color, "linewidth": 0.8, **options})


def dots(axes: Axes, place: float, values: Sequence[float] | pd.Series, mean: float, style: Look) -> None:
    """Draw in a row each repetition as a dot, and their mean as a stroke where they are more than one."""
    axes.plot(
        values, [place] * len(values), linestyle="", marker=style.marker, color=style.color,
        markersize=3.5, markeredgewidth=0, alpha=0.6,
    )  # fmt: skip
    if len(values) > 1:
        axes.plot(mean, place, "|", color=INK, markersize=8)


@dataclass(frozen=True)
class Sign:
    """How a verdict is shown in a matrix: told apart by colour, and by those who see none."""

    sign: str
    meaning: str
    color: str
    ink: str


def matrix(axes: Axes, found: pd.DataFrame, signs: Mapping[str, Sign], fontsize: float) -> list[Patch]:
    """Draw the cells of a table of verdicts, with nothing for NaN; return the entries of a key, with their numbers."""
    drawn = dict.fromkeys(signs, 0)
    for x, (_, cells) in enumerate(found.items()):
        for y, name in enumerate(cells):
            if isinstance(name, str):
                drawn[name] += 1
                one, corner = signs[name], (x - 0.5, y - 0.5)
                axes.add_patch(Rectangle(corner, 1, 1, facecolor=one.color, edgecolor="white", linewidth=0.8))
                axes.text(x, y, one.sign, ha="center", va="center", color=one.ink, fontsize=fontsize)
    axes.set_xlim(-0.5, len(found.columns) - 0.5)
    axes.tick_params(length=0, pad=2, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return [
        Patch(color=signs[name].color, label=f"{signs[name].sign}  {signs[name].meaning} ({count})")
        for name, count in drawn.items()
        if count
    ]


def steps(axes: Axes, each: Sequence[pd.DataFrame], together: pd.DataFrame, style: Look) -> None:
    """Draw what frames have in their second column over the first, each value up to the next.

    All repetitions `together` are a line with the label, each of them a thin one where they are several.
    """
    for one in each if len(each) > 1 else ():
        axes.step(one.iloc[:, 0], one.iloc[:, 1], where="post", color=style.color, linewidth=0.4, alpha=0.5)
    x, y = together.iloc[:, 0], together.iloc[:, 1]
    axes.step(x, y, where="post", color=style.color, linestyle=style.linestyle, label=style.label)


def moments(axes: Axes, times: Sequence[float], words: Iterable[str] = ()) -> None:
    """Draw when something happened, and what in words above the panel."""
    for when in times:
        axes.axvline(when, color="#cc79a7", linewidth=0.8)
    for when, what in zip(times, words, strict=False):
        axes.annotate(what, (when, 1.3), xycoords=("data", "axes fraction"), ha="center", fontsize=6)
