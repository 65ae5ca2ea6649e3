"""Repetitions to mean and spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd


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


@dataclass(frozen=True)
class Crossover:
    """Where a ratio comes to 1 for good, over repetitions.

    `at` is the geometric mean of where `n` of the `repetitions` did, None when none did; `beyond` then says what that
    means. `interval` is its 95 % confidence interval, None for fewer than two.
    """

    at: float | None
    interval: tuple[float, float] | None
    n: int
    repetitions: int
    beyond: str

    def text(self, unit: str, size: float) -> str:
        """Return it in words, in `unit`s of `size`."""
        if self.at is None:
            return self.beyond
        low, high = (bound / size for bound in self.interval or (0.0, 0.0))
        spread = f", 95 % CI {low:.3g} to {high:.3g} {unit}" if self.interval else ""
        return f"at {self.at / size:.3g} {unit}{spread} (n = {self.n} of {self.repetitions})"


def crossover(ratios: pd.DataFrame) -> Crossover:
    """Return where `ratios` (rows by a rising quantity, a column a repetition) exceed 1 for good.

    Between two rows it is where the straight line between them crosses, on logarithmic axes. The interval is that of
    Student's t for the logarithms of the repetitions' crossovers.
    """
    found = [at for _, column in ratios.items() if (at := _crossing(column)) is not None]
    n, repetitions = len(found), ratios.shape[1]
    if not found:
        ahead = float(ratios.iloc[-1].mean()) > 1
        return Crossover(None, None, 0, repetitions, "at every size measured" if ahead else "at no size measured")
    logs = [math.log(at) for at in found]
    middle = statistics.fmean(logs)
    interval = None
    if n > 1:
        from scipy.stats import t as student_t  # half a second that the other figures need not wait

        half = float(student_t.ppf(0.975, n - 1)) * statistics.stdev(logs) / math.sqrt(n)
        interval = (math.exp(middle - half), math.exp(middle + half))
    return Crossover(math.exp(middle), interval, n, repetitions, "")


def _crossing(ratios: pd.Series) -> float | None:
    """Return where `ratios` exceed 1 from then on; None when that is nowhere between the first and the last."""
    logs = [(math.log(at), math.log(ratio)) for at, ratio in ratios.items()]
    behind = [index for index, (_, ratio) in enumerate(logs) if ratio <= 0]
    if not behind or behind[-1] == len(logs) - 1:
        return None
    (x0, y0), (x1, y1) = logs[behind[-1] : behind[-1] + 2]
    return math.exp(x0 - y0 * (x1 - x0) / (y1 - y0))
