"""Two runs of one experiment, point by point: whether the second repeats the first.

Each result has a difference of means with its 95 % interval (Student's t for unequal variances, Welch 1947). Of many
results one in twenty is outside its own interval by chance; a run is not repeated when one is outside the interval that
holds for all of them together (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import zip_longest
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from analysis.load import Run

EQUAL, WITHIN, CHANCE, DIFFERENT, UNKNOWN, MISSING = "equal", "within", "chance", "different", "unknown", "missing"
REPEATED = (EQUAL, WITHIN, CHANCE)
MEANINGS = {
    EQUAL: "the same numbers in both runs",
    WITHIN: "the difference is within its 95 % interval",
    CHANCE: "outside its own interval, but not outside that for all results together",
    DIFFERENT: "outside the interval for all results together",
    UNKNOWN: "not the same, and a single repetition has no interval (--set repetitions=3)",
    MISSING: "only one of the runs has it, or it did not pass there",
}
_RISK = 0.05


class Incomparable(Exception):
    """Runs of different experiments or parameters; the message is one line."""


@dataclass(frozen=True)
class Difference:
    """Of two samples: the second mean less the first, half of the 95 % interval, the chance of more without cause."""

    value: float
    half_width: float
    probability: float


def check_comparable(a: Run, b: Run) -> None:
    """Raises Incomparable unless both runs were asked to measure the same; commits and machines may differ."""
    ours, theirs = a.manifest, b.manifest
    if ours["experiment"] != theirs["experiment"]:
        raise Incomparable(f"{a.path} is of {ours['experiment']}, {b.path} of {theirs['experiment']}")
    for what, first, second in (
        ("parameter", a.parameters, b.parameters),
        ("specification", ours["specification"], theirs["specification"]),
    ):
        names = [name for name in first | second if first.get(name) != second.get(name)]
        if names and what == "parameter":
            pairs = (f"{name} {first.get(name)} and {second.get(name)}" for name in names)
            raise Incomparable(f"{a.path}, {b.path}: parameters differ: {'; '.join(pairs)}")
        if names:
            raise Incomparable(f"{a.path}, {b.path}: what was asked differs in {', '.join(names)}")


def compare(a: Run, b: Run) -> pd.DataFrame:
    """Return one row a point (its repetitions together) and result that the experiment's figure shows.

    Columns: `stack`, the factors, `metric`, `mean_a`, `sd_a`, `n_a` and the same of b (values joined by a space in
    `mean_*` for what is no number), `difference`, `half_width` of its interval, `probability`, `verdict`. Stacks that
    were asked of one run alone are left out. Raises Incomparable.
    """
    check_comparable(a, b)
    factors = ["stack", *_factors(a.points)]
    shared = [stack for stack in a.stacks if stack in b.stacks]
    if not shared:
        raise Incomparable(f"{a.path}, {b.path}: no stack is in both")
    rows = [row for stack in shared for row in _rows(_of(a, stack), _of(b, stack), factors, _metrics(a, b))]
    frame = pd.DataFrame(rows)
    corrected = _RISK / max(1, int(frame["probability"].notna().sum()))
    outside = frame["verdict"] == CHANCE
    return frame.assign(verdict=frame["verdict"].mask(outside & (frame["probability"] < corrected), DIFFERENT))


def table(frame: pd.DataFrame, title: str) -> Table:
    """Return the comparison for a terminal."""
    columns = list(frame.columns)
    factors = columns[: columns.index("metric")]
    result = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in (*factors, "metric"):
        result.add_column(heading)
    for heading in ("A", "B", "n", "B - A", "95 %"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("verdict")
    for row in frame.to_dict("records"):
        n = f"{row['n_a']}" if row["n_a"] == row["n_b"] else f"{row['n_a']}/{row['n_b']}"
        differs = pd.notna(row["difference"])
        result.add_row(
            *(str(row[name]) for name in (*factors, "metric")), _mean(row, "a"), _mean(row, "b"), n,
            f"{row['difference']:+.4g}" if differs else "",
            f"± {row['half_width']:.3g}" if differs and math.isfinite(row["half_width"]) else "", row["verdict"],
        )  # fmt: skip
    return result


def origin(run: Run) -> str:
    """Return where a run is from: directory, time, commits, kernel and processor."""
    sessions = run.manifest["sessions"]
    commits = dict.fromkeys(str(session.get("git", {}).get("commit"))[:10] for session in sessions)
    last = sessions[-1]
    machine = f"{last.get('kernel', '')}, {last.get('cpu', {}).get('model', '')}"
    return f"{run.path}, {last['began'][:16]}, commit {', '.join(commits)}, {machine}".rstrip(" ,")


def difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare two samples. One of a single value has no spread: the interval is infinite."""
    value = _mean_of(b) - _mean_of(a)
    if min(len(a), len(b)) < 2:
        return Difference(value, math.inf, math.nan)
    variances = [_variance(sample) / len(sample) for sample in (a, b)]
    error = math.sqrt(sum(variances))
    if not error:
        return Difference(value, 0.0, 1.0 if not value else 0.0)
    parts = (variance**2 / (len(sample) - 1) for variance, sample in zip(variances, (a, b), strict=True))
    freedom = sum(variances) ** 2 / sum(parts)
    return Difference(value, _quantile(freedom) * error, tail(abs(value) / error, freedom))


def tail(t: float, freedom: float) -> float:
    """Return the probability of more than `t`, either sign, by Student's distribution."""
    # With t = sqrt(freedom) tan(x) the density is that of cos(x)**(freedom - 1); Simpson's rule.
    edge, steps = math.atan(t / math.sqrt(freedom)), 400
    width = (math.pi / 2 - edge) / steps
    heights = [max(0.0, math.cos(edge + width * step)) ** (freedom - 1) for step in range(steps + 1)]
    area = width / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))
    whole = math.sqrt(math.pi) * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    return float(2 * area / whole)


def _quantile(freedom: float) -> float:
    """Return what Student's t exceeds, either sign, with the probability that is risked."""
    low, high = 0.0, 1000.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, freedom) > _RISK else (low, middle)
    return high


def _rows(a: pd.DataFrame, b: pd.DataFrame, factors: list[str], metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    groups = [dict(iter(points.groupby(factors, sort=False, dropna=False))) for points in (a, b)]
    for point in dict.fromkeys([*groups[0], *groups[1]]):
        passed = [_passed(group.get(point)) for group in groups]
        for metric in metrics:
            samples = [list(one[metric].dropna()) if metric in one else [] for one in passed]
            if any(samples):
                name = dict(zip(factors, point, strict=True))
                yield name | {"metric": metric} | _judge(*samples)


def _judge(a: list[Any], b: list[Any]) -> dict[str, Any]:
    """Return what a row says of two samples."""
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in [*a, *b])
    row: dict[str, Any] = {}
    for name, sample in (("a", a), ("b", b)):
        shown = _mean_of(sample) if numbers else " ".join(sorted(map(str, set(sample))))
        spread = math.sqrt(_variance(sample)) if numbers and len(sample) > 1 else math.nan
        row |= {f"mean_{name}": shown if sample else math.nan, f"sd_{name}": spread, f"n_{name}": len(sample)}
    row |= dict.fromkeys(("difference", "half_width", "probability"), math.nan)
    if not a or not b:
        return row | {"verdict": MISSING}
    if all(one == other for one, other in zip_longest(a, b)):
        return row | {"verdict": EQUAL}
    if not numbers:
        return row | {"verdict": DIFFERENT if set(a) != set(b) else WITHIN}
    found = difference(a, b)
    row |= {"difference": found.value, "half_width": found.half_width, "probability": found.probability}
    if math.isinf(found.half_width):
        return row | {"verdict": UNKNOWN}
    return row | {"verdict": WITHIN if abs(found.value) <= found.half_width else CHANCE}


def _factors(points: pd.DataFrame) -> list[str]:
    """Return the names of the factors: results.csv has them before the outcome."""
    columns = list(points.columns)
    return [name for name in columns[: columns.index("outcome")] if name not in ("stack", "repetition")]


def _metrics(a: Run, b: Run) -> Sequence[str]:
    """Return the results that the figure shows (its METRICS), or all numbers when it names none."""
    named = getattr(import_module(f"analysis.figures.{a.manifest['figure']}"), "METRICS", ())
    if named:
        return list(named)
    columns = list(a.points.columns)
    results = columns[columns.index("why") + 1 :]
    return [name for name in results if pd.api.types.is_numeric_dtype(a.points[name]) and name != "began_ns"]


def _of(run: Run, stack: str) -> pd.DataFrame:
    return run.points[run.points["stack"] == stack]


def _passed(points: pd.DataFrame | None) -> pd.DataFrame:
    return pd.DataFrame() if points is None else points[points["outcome"] == "passed"].sort_values("repetition")


def _mean(row: Mapping[Any, Any], name: str) -> str:
    mean, spread = row[f"mean_{name}"], row[f"sd_{name}"]
    if isinstance(mean, str):
        return mean
    if pd.isna(mean):
        return "-"
    return f"{mean:.4g}" + (f" ± {spread:.2g}" if pd.notna(spread) else "")


def _mean_of(sample: Sequence[float]) -> float:
    return math.fsum(sample) / len(sample) if sample else math.nan


def _variance(sample: Sequence[float]) -> float:
    mean = _mean_of(sample)
    return math.fsum((value - mean) ** 2 for value in sample) / (len(sample) - 1)
