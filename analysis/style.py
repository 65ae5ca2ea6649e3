"""One look for all figures: for print at column width, for readers who do not see all colours, and in grey.

Colours are Okabe and Ito's. Each stack has one colour and one marker in every figure; the kernel's stacks
have solid lines and ours dashed ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from typing import Any

import matplotlib as mpl
from matplotlib.lines import Line2D

COLUMN_WIDTH_IN = 3.5
"""Width of one column of a two-column paper."""

INK, GREY = "#222222", "#555555"
"""Of marks that belong to no stack."""

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
    "legend.columnspacing": 1.2,
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
    "python-server": Look("Python serves kernel MPTCP", "#b8860b", "<", "-."),
    "python-client": Look("Python asks kernel MPTCP", "#8b5fbf", ">", "-."),
}

_OTHERS = (
    ("#cc79a7", "P"), ("#56b4e9", "X"), ("#332288", "d"), ("#7a5c00", "h"), ("#999999", "*"), ("#882255", "p"),
)  # fmt: skip
"""Of a user's own stacks and those with settings: told apart from each other and from LOOKS by all kinds of eyes."""

LONGEST_LABEL = 36
"""Letters of a user's label: more takes the figure's width from what it shows."""


@dataclass(frozen=True)
class _Others:
    """Of a run: its stacks that are not in LOOKS, in order, and the labels that users gave to theirs."""

    stacks: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


_NO_OTHERS = _Others()
_others: ContextVar[_Others] = ContextVar("_others", default=_NO_OTHERS)


def use(manifest: Mapping[str, Any]) -> Token[_Others]:
    """Have `look` know the stacks of a run, by its manifest, until the token is given to `forget`."""
    stacks = tuple(dict.fromkeys(stack for stack in manifest["stacks"] if not _is_plain(stack)))
    return _others.set(_Others(stacks, _labels(manifest.get("labels", {}))))


def forget(token: Token[_Others]) -> None:
    """Undo `use`."""
    _others.reset(token)


def _labels(given: Mapping[str, str]) -> dict[str, str]:
    """Return users' labels as they are shown: short, in one line, each once and none that is one of ours."""
    taken = {one.label for one in LOOKS.values()}
    found: dict[str, str] = {}
    for stack, label in given.items():
        # A legend leaves out what begins with an underscore.
        text = " ".join(str(label).split()).lstrip("_") or stack
        text = text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
        found[stack] = f"{text} ({stack})" if text in taken else text
        taken.add(text)
    return found


def look(stack: str) -> Look:
    """Return the look of `stack`; one of the user's own has its label, and a colour that no other one of the run has.

    With a congestion control named behind an @ one of ours looks as without, and the label says which.
    """
    plain, _, congestion = stack.partition("@")
    if _is_plain(stack):
        return replace(LOOKS[plain], label=f"{LOOKS[plain].label}, {congestion}") if congestion else LOOKS[plain]
    others = _others.get()
    place = others.stacks.index(stack) if stack in others.stacks else sum(stack.encode())
    color, marker = _OTHERS[place % len(_OTHERS)]
    line = (":", "-.")[place // len(_OTHERS) % 2 if stack in others.stacks else 0]
    return Look(others.labels.get(stack) or _with_settings(stack), color, marker, line)


def _is_plain(stack: str) -> bool:
    """Whether a stack is one of LOOKS, without settings."""
    return "+" not in stack and stack.partition("@")[0] in LOOKS


def _with_settings(stack: str) -> str:
    """Return what a stack with settings is called that is one of ours otherwise; any other by its name."""
    name, *settings = stack.split("+")
    plain, _, congestion = name.partition("@")
    if plain not in LOOKS:
        return stack
    return ", ".join([LOOKS[plain].label, *([congestion] if congestion else []), *settings])


def key(one: Look, **other: Any) -> Line2D:
    """Return the entry of a legend for what is drawn with a look, line and marker."""
    return Line2D(
        [], [], **{"color": one.color, "marker": one.marker, "linestyle": one.linestyle, "label": one.label, **other}
    )


def apply() -> None:
    """Make this the style of all figures drawn from now on, without a display."""
    mpl.use("Agg")
    mpl.rcdefaults()  # whatever the user's matplotlibrc says
    mpl.rcParams.update(SETTINGS)
