"""Repetitions to mean and spread."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.stats import t as student_t

CLOCKS = ("began_ns", "first_due_ns")
"""Results that say when something was, not how long."""


def summarise(points: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """Return one row a group of `by` with n, mean, sd, min and max of `value`.

    `sd` is the sample standard deviation over repetitions (n - 1); it is 0 for a single one, which has no
    spread to show.
    """
    groups = points.dropna(subset=[value]).groupby(list(by), sort=False, dropna=False)[value]
    summary = groups.agg(n="count", mean="mean", sd="std", min="min", max="max").reset_index()
    return summary.fillna({"sd": 0.0})


def ratio_to(summary: pd.DataFrame, reference: pd.Series, by: Sequence[str]) -> pd.Series:
    """Return each row's mean over the mean of the `reference` row (a mask picks them) with equal `by`.

    NaN where there is no reference.
    """
    means = summary[reference].set_index(list(by))["mean"].rename("reference")
    return summary["mean"] / summary.join(means, on=list(by))["reference"]


def paired_interval(points: pd.DataFrame, by: Sequence[str], value: str, reference: pd.Series) -> pd.Series:
    """Return half of the 95 % interval of each stack's ratio to the `reference` (a mask picks it), of pairs.

    A pair are points of one repetition with equal `by`. By `by` and stack; NaN of less than two pairs.
    """
    pairs = points[[*by, "repetition", "stack", value]].dropna()
    theirs = pairs[reference.loc[pairs.index]].set_index([*by, "repetition"])[value].rename("reference")
    pairs = pairs.join(theirs, on=[*by, "repetition"])
    return (pairs[value] / pairs["reference"]).groupby([pairs[name] for name in (*by, "stack")]).apply(half_interval)


def half_interval(values: pd.Series) -> float:
    """Return half of the 95 % interval of the mean, by Student's t; NaN of less than two values."""
    n = len(values)
    return float(values.std() / n**0.5 * student_t.ppf(0.975, n - 1)) if n > 1 else math.nan


def spread(summary: pd.DataFrame, unit: float = 1.0, of: str = "sd") -> pd.Series | None:
    """Return the lengths of error bars, in `unit`s: none (NaN) where there is one repetition, None without any."""
    return (summary[of] / unit).where(summary["n"] > 1) if (summary["n"] > 1).any() else None


def worst(found: pd.DataFrame, by: Sequence[str], verdict: str, ranking: Iterable[str]) -> pd.Series:
    """Return the worst in the column `verdict` of each group of `by`; `ranking`: from the best to the worst."""
    names = list(ranking)
    ranked = found.assign(rank=found[verdict].map(names.index)).groupby(list(by), sort=False)["rank"]
    return ranked.max().map(names.__getitem__)


def counted(summary: pd.DataFrame, what: str = "mean ± sd") -> str:
    """Say what is drawn, and of how many repetitions: "mean ± sd, n = 3", "n = 1"."""
    least, most = int(summary["n"].min()), int(summary["n"].max())
    n = f"n = {least}" + (f" to {most}" if most > least else "")
    return f"{what}, {n}" if what and most > 1 else n


@dataclass(frozen=True)
class Crossover:
    """Where one quantity overtakes another for good, among the sizes at which both were measured.

    `between`: the two measured sizes around it, the widest that any of the `n` repetitions needs; None without one, and
    `why` says what is there instead. `at` is where the means would cross if they were straight between those two, on
    logarithmic axes: nothing was measured there, so that no narrower interval can be told.
    """

    between: tuple[float, float] | None
    at: float | None
    n: int
    why: str = ""

    def text(self, unit: str, size: float) -> str:
        """Return it in words, in `unit`s of `size`."""
        if self.between is None or self.at is None:
            return self.why
        low, high = (_short(bound / size) for bound in self.between)
        return f"between {low} and {high} {unit}, near {_short(self.at / size)} {unit} (all {self.n} repetitions)"


def crossover(ours: pd.DataFrame, theirs: pd.DataFrame) -> Crossover:
    """Return where `ours` overtake `theirs` (rows by a rising size, a column a repetition).

    They do only where the means cross between two sizes, and those of every repetition do, and stay above from there
    on. One repetition alone determines nothing.
    """
    ratios = (ours / theirs).dropna(axis="columns")
    means = ours[ratios.columns].mean(axis="columns") / theirs[ratios.columns].mean(axis="columns")
    n = ratios.shape[1]
    if n < 2:
        return Crossover(None, None, n, f"not determined: {n or 'no'} repetition{'' if n else 's'}")
    turns = [_turn(column) for _, column in (("means", means), *ratios.items())]
    inside = len(ratios) - 1
    if all(turn == 0 for turn in turns):
        return Crossover(None, None, n, "not in this range: ahead at every size")
    if all(turn > inside for turn in turns):
        return Crossover(None, None, n, "not in this range: behind at the largest size")
    if not all(0 < turn <= inside for turn in turns):
        return Crossover(None, None, n, f"not determined: the {n} repetitions disagree")
    sizes = [float(size) for size in ratios.index]
    return Crossover((sizes[min(turns) - 1], sizes[max(turns)]), _crossing(means, turns[0]), n)


def _turn(ratios: pd.Series) -> int:
    """Return the first place from which on `ratios` exceed 1: 0 when all do, their number when the last does not."""
    behind = [place for place, ratio in enumerate(ratios) if ratio <= 1]
    return behind[-1] + 1 if behind else 0


def _crossing(ratios: pd.Series, turn: int) -> float:
    """Return where the straight line, on logarithmic axes, between the places `turn` - 1 and `turn` comes to 1."""
    (x0, y0), (x1, y1) = ((math.log(ratios.index[place]), math.log(ratios.iloc[place])) for place in (turn - 1, turn))
    return math.exp(x0 - y0 * (x1 - x0) / (y1 - y0))


def _short(number: float) -> str:
    """Return a number with two digits or all of a whole one's, never with an exponent."""
    digits = 0 if number >= 10 or number == int(number) else 1
    return f"{number:,.{digits}f}"
