"""Repetitions to mean and spread."""

from __future__ import annotations

from collections.abc import Sequence

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
