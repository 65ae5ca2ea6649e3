"""Latencies as distributions: of every request and frame of a run, from the raw files of its points.

A latency is that of a request from when it was due to the end of its answer (`latency_ms_total` in results.csv is the
same), of a frame from when it was due to when the other application had all of it. A request that failed has none: it
counts as longer than any other, so that a curve with failures ends below 1.

    from analysis import distributions
    from analysis.load import load_run

    run = load_run(Path("results/ab-microflows/0123456789ab"))
    found = distributions.latencies(run)
    distributions.quantiles(found, ["stack", "size_bytes"])
    distributions.draw(run).savefig("latencies.png")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import UnreadableFile, UnreadableRun
from analysis.files import open_regular
from analysis.load import Run
from analysis.panels import THICK_AND_THIN, column, foot, legend, logarithmic, steps
from analysis.style import Look, look

KEPT: Final = "latencies.csv"
"""The latencies of a run whose raw files are not kept with it: `thinned`, beside its results.csv."""

FILES: Final[Mapping[str, str]] = {
    "requests": "requests.csv",
    "upload": "frames-upload.csv",
    "download": "frames-download.csv",
    "dialogue": "frames-dialogue.csv",
}
"""The raw files that have latencies, by what `kind` calls them."""

STEPS: Final = 200
"""Steps of a curve: each is less high than a line is wide, in a panel of 3 cm."""

_MEASURED: Final = ("kind", "latency_ms", "count")

_PANEL_IN: Final = 1.35


def latencies(run: Run) -> pd.DataFrame:
    """Return one row a request or frame of the points that passed; none when there are no raw files of them.

    Columns: `stack`, the factors, `repetition`; `kind` (the keys of FILES); `latency_ms`, infinite for a request that
    failed; `count`: how many it stands for, 1 but in what was `thinned`. Raises UnreadableRun.
    """
    columns = ["stack", *run.factors, "repetition"]
    if (run.path / KEPT).is_file():
        kept = _read(run.path / KEPT, [*columns, *_MEASURED])
        kept = kept[kept["stack"].isin(run.stacks)]  # the table may be a part of the run
        return kept.astype({name: run.points[name].dtype for name in columns})
    parts = [
        found.assign(kind=kind, **{name: getattr(row, name) for name in columns})
        for row in run.passed.itertuples()
        for kind, found in _of_point(run.point_directory(row))
    ]
    names = [*columns, *_MEASURED]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def thinned(found: pd.DataFrame, most: int = STEPS) -> pd.DataFrame:
    """Return at most `most` of each repetition's latencies, the least and the largest among them, with their `count`.

    Each stands for itself and what lies below it down to the next: up to one that is kept the share is exact. Those of
    requests that failed are one row more, as none of the others stands for them.
    """
    by = [name for name in found.columns if name not in ("latency_ms", "count")]
    groups = found.groupby(by, sort=False, dropna=False)
    parts = [_steps(group.sort_values("latency_ms", kind="stable"), most) for _, group in groups]
    return pd.concat(parts, ignore_index=True) if parts else found


def shares(found: pd.DataFrame) -> pd.DataFrame:
    """Return the empirical distribution of some latencies: `latency_ms`, rising, and the `share` up to each."""
    rising = found.sort_values("latency_ms", kind="stable")
    share = rising["count"].cumsum() / rising["count"].sum()
    table = pd.DataFrame({"latency_ms": rising["latency_ms"], "share": share})
    return table[table["latency_ms"] < math.inf]


def quantiles(found: pd.DataFrame, by: Sequence[str], of: Sequence[float] = (0.5, 0.95, 0.99)) -> pd.DataFrame:
    """Return by group how many latencies there are (`n`), and the least up to which each share of them lies, in ms.

    The columns are named as in p50; infinite where more than the rest failed. Repetitions are put together.
    """
    rows = []
    for key, group in found.groupby(list(by), sort=False, dropna=False):
        rising = shares(group)
        values = {f"p{100 * share:g}": _up_to(rising, share) for share in of}
        rows.append(dict(zip(by, key, strict=True)) | {"n": int(group["count"].sum())} | values)
    return pd.DataFrame(rows)


def draw(
    run: Run,
    *,
    panels: Sequence[str] | None = None,
    title: Callable[[Mapping[str, Any]], str] | None = None,
    lines: Sequence[str] = ("stack",),
    line: Callable[[Mapping[str, Any]], Look] = lambda key: look(key["stack"]),
    found: pd.DataFrame | None = None,
) -> Figure | None:
    """Return the distributions of a run's latencies as curves (CDF), or None when it has none.

    A panel for each value of the columns `panels` (all but `lines` and the repetition), named by `title`; in it a curve
    for each of `lines`, drawn as `line` says. Thick: all repetitions together; thin: each of them, when there are more.
    `found` stands in for what `latencies` finds. Raises UnreadableRun.
    """
    found = latencies(run) if found is None else found
    if found.empty:
        return None
    if panels is None:
        panels = [name for name in (*run.factors, "kind") if name not in lines and found[name].nunique() > 1]
    parts = list(_groups(found, panels))
    name = title or (lambda key: ", ".join(f"{column} {value}" for column, value in key.items()))
    figure, of_parts = column(len(parts), 0.75 + _PANEL_IN * len(parts))
    for axes, (key, part) in zip(of_parts, parts, strict=True):
        for which, curve in _groups(part, lines):
            draw_curve(axes, curve, line(which))
        axes.set_title(f"{name(key)}{'; ' if panels else ''}{_numbers(part, lines)}", fontsize=7, loc="left")
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("share")
    arrived = found["latency_ms"][found["latency_ms"] < math.inf]
    logarithmic(of_parts[-1], "x", (1, 2, 5) if arrived.max() < 100 * arrived.min() else (1,))
    of_parts[-1].set_xlabel("latency (ms)")
    legend(figure)
    foot(figure, THICK_AND_THIN if found["repetition"].nunique() > 1 else "one repetition")
    return figure


def draw_curve(axes: Axes, found: pd.DataFrame, style: Look) -> None:
    """Draw the distribution of some latencies, and thinly that of each repetition where there are more."""
    few = thinned(found)
    steps(axes, [shares(one) for _, one in few.groupby("repetition")], shares(few), style)


def _numbers(part: pd.DataFrame, lines: Sequence[str]) -> str:
    """Say how many latencies are behind the curves of a panel."""
    counts = part.groupby(list(lines), dropna=False)["count"].sum()
    least, most = int(counts.min()), int(counts.max())
    return f"n = {least:,}" + (f" to {most:,}" if most > least else "")


def _groups(found: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    if not by:
        yield {}, found
        return
    for key, group in found.groupby(list(by), sort=False, dropna=False):
        values: tuple[Hashable, ...] = key if isinstance(key, tuple) else (key,)
        yield dict(zip(by, values, strict=True)), group


def _up_to(rising: pd.DataFrame, share: float) -> float:
    reached = rising.loc[rising["share"] >= share - 1e-9, "latency_ms"]
    return math.inf if reached.empty else float(reached.iloc[0])


def _steps(rising: pd.DataFrame, most: int) -> pd.DataFrame:
    if len(rising) <= most:
        return rising
    ended = int((rising["latency_ms"] < math.inf).sum())
    kept = np.linspace(0, ended - 1, min(most, ended)).round().astype(int)
    if ended < len(rising):
        kept = np.append(kept, len(rising) - 1)
    counts = np.diff(rising["count"].cumsum().to_numpy()[kept], prepend=0)
    return rising.iloc[kept].assign(count=counts)


def _of_point(directory: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the latencies in the raw files of one point, by kind."""
    for kind, name in FILES.items():
        if not (path := directory / name).exists():
            continue
        if kind == "requests":
            raw = _read(path, ["due_ns", "end_ns", "outcome"])
            times_ms = ((raw["end_ns"] - raw["due_ns"]) / 1e6).where(raw["outcome"] == "ok", math.inf)
        else:
            raw = _read(path, ["due_ns", "received_ns"])
            times_ms = (raw["received_ns"] - raw["due_ns"]) / 1e6
        if not raw.empty:
            yield kind, pd.DataFrame({"latency_ms": times_ms, "count": 1})


def _read(path: Path, names: Sequence[str]) -> pd.DataFrame:
    """Read these columns of a table. Raises UnreadableRun."""
    try:
        with open_regular(path) as file:
            return pd.read_csv(file, usecols=list(names))[list(names)]
    except (UnreadableFile, ValueError) as error:
        raise UnreadableRun(f"{path}: {' '.join(str(error).split())}") from error
