"""Runs in which a factor has one value: an axis without an extent, and no line to draw between two points."""

from __future__ import annotations

import warnings

import pytest

from analysis import figures, notebooks, style
from analysis.load import Run


@pytest.mark.parametrize(
    ("experiment", "factor"),
    [
        ("quickstart", "size_bytes"),
        ("ab-microflows", "size_bytes"),
        ("receive-buffer", "buffer_kb"),
        ("syn-flood", "flood_per_s"),
        ("lossy-link", "loss"),
        ("setup-latency", "open"),
    ],
)
def test_a_figure_of_one_value_is_drawn_without_a_warning(experiment: str, factor: str) -> None:
    kept = notebooks.open_run(experiment)
    points = kept.points[kept.points[factor] == kept.passed[factor].iloc[-1]]
    run = Run(kept.path, kept.manifest, points)
    style.apply()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(figures.pictures(run, "png"))
        assert figures.table(run).row_count
