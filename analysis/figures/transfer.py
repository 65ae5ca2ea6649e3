"""A bulk transfer's rate over time, and the distributions of request latencies and frame delays, by stack."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from analysis import distributions, panels, tables
from analysis.errors import UnreadableFile, UnreadableRun
from analysis.files import open_regular
from analysis.load import Run
from analysis.metrics import summarise
from analysis.style import look

METRICS = ("throughput_bps", "latency_ms_total_p50", "download_delay_ms_p50")

TIMELINE: Final = "timeline.csv"
LOADS: Final = {"bulk": "bulk transfer", "web": "web requests", "frames": "frames"}
"""What the panels call the loads."""
VALUES: Final = {
    "bulk": (("throughput_bps", "Mbit/s", 1e6),),
    "web": (("requests_per_s", "requests/s", 1), *((f"latency_ms_total_p{p}", f"p{p}", 1) for p in (50, 95, 99))),
    "frames": tuple((f"download_delay_ms_p{p}", f"p{p}", 1) for p in (50, 95, 99)),
}
"""By load what the table has of the results: the name, what it is called, and its unit."""

_KINDS: Final = {"web": "requests", "frames": "download"}
"""What distributions call the latencies of each load."""
_STEPS: Final = 40
"""Intervals of a transfer over which its rate is told; each is at least as long as two of those of the raw file."""
_LEAST_STEP_S: Final = 0.2
_MOST_DIGITS: Final = 2
"""Behind the point, in the table: what the first digit of the spread needs, but hundredths are the least that count."""


def rates(run: Run) -> pd.DataFrame:
    """Return the rate of each bulk download over time: `stack`, `repetition`, `time_s` since its begin, `bps`.

    A row is an interval, by its begin. Empty where the raw files are missing. Raises UnreadableRun.
    """
    parts = [
        over_time(path).assign(stack=row.stack, repetition=row.repetition)
        for row in run.passed[run.passed["load"] == "bulk"].itertuples()
        if (path := run.point_directory(row) / TIMELINE).exists()
    ]
    columns = ["stack", "repetition", "time_s", "bps"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def over_time(path: Any) -> pd.DataFrame:
    """Return `time_s` and `bps` of one timeline. Raises UnreadableRun."""
    try:
        with open_regular(path) as file:
            raw = pd.read_csv(file, usecols=["time_ns", "received_bytes"])
        times_s = (raw["time_ns"] - raw["time_ns"].iloc[0]) / 1e9
        length_s = float(times_s.iloc[-1])
        edges = np.linspace(0, length_s, 1 + max(1, min(_STEPS, int(length_s / _LEAST_STEP_S))))
        received = np.interp(edges, times_s, raw["received_bytes"].astype(float))
        step_s = max(float(edges[1] - edges[0]), 1e-9)
    except (UnreadableFile, ValueError, IndexError, TypeError) as error:
        raise UnreadableRun(f"{path}: {' '.join(str(error).split())}") from error
    return pd.DataFrame({"time_s": edges[:-1], "bps": np.diff(received) * 8 / step_s})


def draw(run: Run) -> Figure:
    """Return the figure: a panel for each load that was carried, a line for each stack, thin ones its repetitions."""
    loads = [load for load in LOADS if (run.passed["load"] == load).any()]
    figure, of_loads = panels.column(len(loads), 0.7 + 1.35 * len(loads), sharex=False)
    latencies = distributions.latencies(run)
    for axes, load in zip(of_loads, loads, strict=True):
        if load == "bulk":
            _draw_rates(axes, run)
        else:
            _draw_latencies(axes, latencies[latencies["kind"] == _KINDS[load]])
        count = run.passed[run.passed["load"] == load].groupby("stack").size().min()
        axes.set_title(f"{LOADS[load]}; n = {count}", fontsize=7)
        axes.set_ylim(bottom=0)
    panels.legend(figure)
    if run.passed["repetition"].nunique() > 1:
        panels.foot(figure, panels.THICK_AND_THIN)
    return figure


def _draw_rates(axes: Axes, run: Run) -> None:
    """Draw rates over time: each repetition, and their mean as long as all of them last."""
    found = rates(run).assign(mbit_per_s=lambda rates: rates["bps"] / 1e6)
    for stack, of_stack in found.groupby("stack", sort=False):
        repetitions = of_stack.groupby("repetition")[["time_s", "mbit_per_s"]]
        steps = of_stack.groupby(repetitions.cumcount())[["time_s", "mbit_per_s"]]
        mean = steps.mean()[steps.size() == len(repetitions)]
        panels.steps(axes, [one for _, one in repetitions], mean, look(str(stack)))
    axes.set_xlabel("time (s)")
    axes.set_ylabel("Mbit/s")


def _draw_latencies(axes: Axes, found: pd.DataFrame) -> None:
    """Draw distributions of times in ms: each repetition, and all together."""
    for stack, of_stack in found.groupby("stack", sort=False):
        distributions.draw_curve(axes, of_stack, look(str(stack)))
    if not found.empty:
        panels.logarithmic(axes, "x")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("from when it was due to its last byte (ms)")
    axes.set_ylabel("share")


def table(run: Run) -> Table:
    """Return rate, requests a second and percentiles of the times, by load and stack."""
    headings = "load", "stack", "Mbit/s", "requests/s", "p50", "p95", "p99", "n"
    caption = "p50, p95, p99: ms from when a request or frame was due to its last byte"
    result = tables.table(run.manifest["title"], headings, headings[:2], caption)
    for (load, stack), found in run.passed.groupby(["load", "stack"], sort=False):
        cells = {called: _cell(found, name, unit) for name, called, unit in VALUES.get(str(load), ())}
        texts = [cells.get(heading, "") for heading in headings[2:-1]]
        result.add_row(str(load), look(str(stack)).label, *texts, str(len(found)))
    return result


def _cell(found: pd.DataFrame, name: str, unit: float) -> str:
    if name not in found or found[name].isna().all():
        return ""
    row = summarise(found, ["load"], name).iloc[0]
    mean, sd = row["mean"] / unit, row["sd"] / unit
    digits = min(_MOST_DIGITS, max(0, math.ceil(-math.log10(sd)))) if sd else _MOST_DIGITS
    return tables.number(mean, sd, row["n"], f".{digits}f" if row["n"] > 1 else ".4g")
