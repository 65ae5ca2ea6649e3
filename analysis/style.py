"""One look for all figures: for print at column width, for readers who do not see all colours, and in grey.

Colours are Okabe and Ito's. Each stack has one colour and one marker in every figure; the kernel's stacks
have solid lines and ours dashed ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

COLUMN_WIDTH_IN = 3.5
"""Width of one column of a two-column paper."""

SETTINGS: Mapping[Any, Any] = {
    "figure.dpi": 300,
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    # A name with a dollar sign is no formula.
    "text.parse_math": False,
    "savefig.dpi": 300,
}


@dataclass(frozen=True)
class Look:
    """How a stack is drawn and what it is called."""

    label: str
    color: str
    marker: str
    linestyle: str


LOOKS: Mapping[str, Look] = {
    "kernel-tcp": Look("kernel TCP", "#000000", "o", "-"),
    "kernel-mptcp": Look("kernel MPTCP", "#0072b2", "s", "-"),
    "kernel-bond": Look("kernel TCP, bonded", "#009e73", "D", "-"),
    "python-tcp": Look("Python TCP", "#e69f00", "^", "--"),
    "python-mptcp": Look("Python MPTCP", "#d55e00", "v", "--"),
}

_OTHERS = (("#cc79a7", "P"), ("#56b4e9", "X"), ("#999999", "*"), ("#7a5c00", "h"))


def look(stack: str) -> Look:
    """Return the look of `stack`; a stack of the user's own gets one that depends on its name alone.

    With a congestion control named behind an @ it looks as without, and the label says which.
    """
    plain, _, congestion = stack.partition("@")
    if congestion:
        return replace(look(plain), label=f"{look(plain).label}, {congestion}")
    if stack in LOOKS:
        return LOOKS[stack]
    color, marker = _OTHERS[sum(stack.encode()) % len(_OTHERS)]
    return Look(stack, color, marker, ":")


def aside(axes: Axes, drawn: Iterable[Artist], place: int, of: int, step_pt: float = 3.0) -> None:
    """Move what was drawn of series `place` of `of` some points aside, so that none hides another."""
    shift_in = (place - (of - 1) / 2) * step_pt / 72
    moved = axes.transData + ScaledTranslation(shift_in, 0, axes.figure.dpi_scale_trans)
    for artist in drawn:
        artist.set_transform(moved)


def apply() -> None:
    """Make this the style of all figures drawn from now on, without a display."""
    mpl.use("Agg")
    mpl.rcdefaults()  # whatever the user's matplotlibrc says
    mpl.rcParams.update(SETTINGS)
