"""Why MPTCP is slower than TCP, or not: a bar for TCP on each path, for MPTCP, and for each thing that was changed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from analysis import panels, tables
from analysis.load import Run
from analysis.metrics import half_interval
from analysis.style import GREY, INK, look

METRICS = ("elapsed_s",)

MARGIN: Final = 0.02
"""A change makes a difference where the whole interval is farther than this from none: less is nobody's question."""

SAME: Final = 0.1
"""An interval within this of 1 says that there is no difference worth a word; a wider one says nothing yet."""

_ALL, _NONE = "all", "none"
_PALE: Final = 0.35
"""Of bars that make no difference."""
_ROW_IN: Final = 0.16
_TITLE_LETTERS: Final = 50
"""Of a line above a panel."""


class Ratio(NamedTuple):
    """How many times as fast as another: mean of the ratios of pairs, half of their 95 % interval (NaN of one pair)."""

    mean: float
    half: float

    @property
    def faster(self) -> bool:
        """Whether all of the interval is above 1, by more than the margin."""
        return self.mean - self.half > 1 + MARGIN

    @property
    def slower(self) -> bool:
        """Whether all of the interval is below 1, by more than the margin."""
        return self.mean + self.half < 1 - MARGIN

    @property
    def no_faster(self) -> bool:
        """Whether all of the interval is below what would be worth a word."""
        return self.mean + self.half < 1 + SAME

    @property
    def same(self) -> bool:
        """Whether all of the interval is near 1."""
        return self.no_faster and self.mean - self.half > 1 - SAME

    def __str__(self) -> str:
        return tables.number(self.mean, self.half, 2 if self.half > 0 else 1)


class Line(NamedTuple):
    """A bar: a stack on a path, or with a change.

    `of_tcp` and `of_mptcp`: how many times as fast as TCP over its better path, and as MPTCP as it is.
    """

    stack: str
    path: str
    change: str
    seconds: float
    n: int
    of_tcp: Ratio
    of_mptcp: Ratio


class Case(NamedTuple):
    """An MPTCP stack beside a TCP: the bars of both, of MPTCP the first as it is, and TCP's better path."""

    mptcp: str
    tcp: str
    better: str
    over_paths: list[Line]
    changed: list[Line]


def cases(run: Run) -> list[Case]:
    """Return every MPTCP stack that has run beside a TCP: of the kernel's the kernel's, of ours ours, else any."""
    points = run.passed
    tcps = [stack for stack in run.stacks if (points[points["stack"] == stack]["path"] != _ALL).any()]
    found = []
    for stack in run.stacks:
        own = points[(points["stack"] == stack) & (points["path"] == _ALL)]
        tcp = next((one for one in tcps if one.split("-")[0] == stack.split("-")[0]), next(iter(tcps), None))
        if tcp is not None and (own["change"] == _NONE).any():
            found.append(_case(stack, own, tcp, points[points["stack"] == tcp]))
    return found


def _case(stack: str, own: pd.DataFrame, tcp: str, of_tcp: pd.DataFrame) -> Case:
    better = str(of_tcp.groupby("path", sort=False)["elapsed_s"].mean().idxmin())
    yardsticks = of_tcp[of_tcp["path"] == better], own[own["change"] == _NONE]

    def line(name: str, path: str, change: str, found: pd.DataFrame) -> Line:
        ratios = (_ratio(found, yardstick) for yardstick in yardsticks)
        return Line(name, path, change, found["elapsed_s"].mean(), len(found), *ratios)

    over = [line(tcp, str(path), _NONE, found) for path, found in of_tcp.groupby("path", sort=False)]
    changed = [line(stack, _ALL, str(change), found) for change, found in own.groupby("change", sort=False)]
    return Case(stack, tcp, better, over, sorted(changed, key=lambda line: line.change != _NONE))


def _ratio(found: pd.DataFrame, yardstick: pd.DataFrame) -> Ratio:
    """Return how many times as fast as the yardstick, by pairs of one repetition."""
    times = yardstick.set_index("repetition")["elapsed_s"] / found.set_index("repetition")["elapsed_s"]
    ratios = times.dropna()
    return Ratio(float(ratios.mean()), half_interval(ratios))


# --- in words ---

_LIMITS: Final[Mapping[str, tuple[str, str]]] = {
    "buffers": ("larger buffers", "buffers that are too small"),
    "delays": ("equal delays", "delays that are not equal"),
    "loss": ("no loss", "packets that the links lose"),
    "scheduler": ("another scheduler", "its scheduler"),
    "congestion": ("another congestion control", "its congestion control"),
}
"""Changes that may make it faster: what is changed, and what holds it back if they do."""
_CORE: Final = "core"
"""What shows that processor time is short; others may be slower for reasons of their own."""
_COSTS: Final[Mapping[str, str]] = {
    "checksums": "DSS checksums", "segments": "single segments", _CORE: "one core for all programs",
}  # fmt: skip
"""Changes that cost processor time."""


def label(run: Run, change: str) -> str:
    """Return what is changed, as the user chose it."""
    parameters: Mapping[str, Any] = run.parameters
    chosen = {
        "buffers": f"buffers of {parameters.get('buffer', 0) / 1e6:g} MB",
        "scheduler": f"scheduler {parameters.get('scheduler', '')}",
        "congestion": f"congestion control {parameters.get('congestion', '')}",
    }
    return chosen.get(change) or _LIMITS.get(change, ("",))[0] or _COSTS.get(change) or "as it is"


def sentences(run: Run) -> list[str]:
    """Return what follows for each MPTCP stack, or why nothing does."""
    found = cases(run)
    told = {case.mptcp for case in found}
    others = [stack for stack in run.stacks if stack not in told and (run.points["stack"] == stack).any()]
    multipath = [one for one in others if (run.points[run.points["stack"] == one]["path"] == _ALL).any()]
    return [*(_sentence(run, case) for case in found), *(_nothing_of(run, stack) for stack in multipath)] or [
        "Needs an MPTCP stack beside a TCP stack."
    ]


def _nothing_of(run: Run, stack: str) -> str:
    passed = run.passed[(run.passed["stack"] == stack) & (run.passed["change"] == _NONE)]
    if not passed.empty:
        return f"{look(stack).label}: no TCP stack has run beside it."
    return (
        f"{look(stack).label}: no point of it as it is has passed. Where no second subflow came up, the download may "
        "have been over before it could: a larger size would tell."
    )


def _sentence(run: Run, case: Case) -> str:
    now, *others = case.changed
    of_tcp = now.of_tcp
    head = f"{look(case.mptcp).label} is {of_tcp} times as fast as {look(case.tcp).label} over {case.better}"
    head += ", its better path" if len(case.over_paths) > 1 else ""
    if now.n < 2:
        return f"{head}: one repetition, which says nothing of chance."
    verdict = "slower" if of_tcp.slower else "faster" if of_tcp.faster else "neither slower nor faster"
    undecided = verdict.startswith("neither") and not of_tcp.same
    said = [f"{head}: {'cannot tell, more repetitions would' if undecided else verdict}."]
    helps = sorted((one for one in others if one.of_mptcp.faster), key=lambda one: -one.of_mptcp.mean)
    causes = [one for one in helps if one.change in _LIMITS]
    tried = [one for one in others if one.change in _LIMITS]
    if causes:
        told = _listed(f"{_LIMITS[one.change][1]} ({label(run, one.change)}: {one.of_mptcp} times)" for one in causes)
        said.append(f"What holds it back: {told}.")
    elif of_tcp.slower and tried and all(one.of_mptcp.no_faster for one in tried):
        told = _listed((label(run, one.change) for one in tried), "or")
        said.append(f"Not faster by {told}: what holds it back is none of these.")
    elif of_tcp.slower and tried:
        told = _listed(label(run, one.change) for one in tried if not one.of_mptcp.no_faster)
        said.append(f"What holds it back is not clear: {told} may make it faster, or not; more repetitions would tell.")
    if worse := [one for one in others if one.of_mptcp.slower]:
        told = _listed(f"{label(run, one.change)} ({one.of_mptcp} times)" for one in worse)
        short = "Processor time is short: slower" if any(one.change == _CORE for one in worse) else "Slower"
        said.append(f"{short} with {told}.")
    return " ".join(said)


def _listed(words: Iterable[str], last: str = "and") -> str:
    *most, end = list(words) or ["nothing"]
    return f"{', '.join(most)} {last} {end}" if most else end


# --- drawn ---


def draw(run: Run) -> Figure:
    """Return the figure: a panel an MPTCP stack, with the sentence that follows above it."""
    found = cases(run)
    if not found:
        figure, (empty,) = panels.column(1, 1.1)
        empty.set_axis_off()
        empty.set_title(textwrap.fill(" ".join(sentences(run)), _TITLE_LETTERS), loc="left", fontsize=6, color=GREY)
        return figure
    rows = sum(len(case.over_paths) + len(case.changed) for case in found)
    figure, axes = panels.column(len(found), 0.7 + 0.55 * len(found) + _ROW_IN * rows)
    for panel, case in zip(axes, found, strict=True):
        _draw(panel, run, case)
    pairs = sorted({line.n for case in found for line in case.changed})
    told = " to ".join(str(n) for n in dict.fromkeys((*pairs[:1], *pairs[-1:])))
    panels.foot(figure, f"times as fast as TCP over its better path: mean and 95 % interval of {told} pairs;\n"
                        "dashed: MPTCP as it is; pale: no difference to that")  # fmt: skip
    return figure


def _draw(axes: Axes, run: Run, case: Case) -> None:
    lines = [*case.over_paths, *case.changed]
    for place, line in enumerate(lines):
        plain = line.change == _NONE or line.of_mptcp.faster or line.of_mptcp.slower
        of_tcp = line.of_tcp
        panels.bars(
            axes, [place], pd.Series([of_tcp.mean]), [of_tcp.half] if of_tcp.half == of_tcp.half else None,
            color=look(line.stack).color, alpha=0.85 if plain else _PALE,
        )  # fmt: skip
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.axvline(case.changed[0].of_tcp.mean, color=INK, linewidth=0.6, linestyle=(0, (3, 2)))
    panels.rows(axes, _labels(run, case))
    axes.set_xlim(left=0)
    axes.set_title(textwrap.fill(_sentence(run, case), _TITLE_LETTERS), fontsize=6)


def _labels(run: Run, case: Case) -> Sequence[str]:
    return [
        *(f"{look(case.tcp).label} over {line.path}" for line in case.over_paths),
        *(look(case.mptcp).label if line.change == _NONE else label(run, line.change) for line in case.changed),
    ]


def table(run: Run) -> Table:
    """Return the same numbers, with seconds, and what follows."""
    words = ("stack", "path", "changed")
    said = [sentence.rstrip(".") for sentence in sentences(run)]
    result = tables.table(
        run.manifest["title"], [*words, "s", "x TCP", "x MPTCP", "n"], words,
        caption="\n".join([*said, "x: times as fast, of pairs, ± half of the 95 % interval"]),
    )  # fmt: skip
    for case in cases(run):
        for line in (*case.over_paths, *case.changed):
            of_mptcp = str(line.of_mptcp) if line.path == _ALL else ""
            changed = "" if line.path != _ALL else label(run, line.change)
            result.add_row(
                look(line.stack).label,
                line.path,
                changed,
                f"{line.seconds:.2f}",
                str(line.of_tcp),
                of_mptcp,
                f"{line.n}",
            )
    return result
