"""Two runs of one experiment, point by point: whether the second repeats the first, differs, or nobody can tell.

A repetition has the same seed in both runs, so that what the seed decides is the same, too: compared are repetitions
in pairs. Their mean difference has a 95 % interval (Student's t), and a margin: a share of the first run's mean.

- *repeated*: the whole interval is within the margin. That is a test of equivalence (two one-sided tests, Schuirmann
  1987, each at 2.5 %), not the absence of a difference: with few repetitions, or much spread, it cannot be passed.
- *differs*: not so, and the interval excludes zero. Of many results one in twenty would do so by chance: the interval
  is here that which holds for all of them together (Bonferroni).
- *cannot tell*: neither; more repetitions make the interval shorter.
"""

from __future__ import annotations

import fnmatch
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from scipy.stats import t as student_t

from analysis import builds, figures, origin
from analysis.errors import AnalysisError
from analysis.load import Run
from analysis.metrics import CLOCKS

REPEATED, DIFFERS, CANNOT_TELL = "repeated", "differs", "cannot tell"
MISSING = "missing"
"""Verdicts on a row; a run has one of the first three."""
MEANINGS = {
    REPEATED: "the same numbers, or the whole 95 % interval of their difference is within the margin",
    DIFFERS: "the interval is not within the margin, and that for all results together excludes zero",
    CANNOT_TELL: "the interval is not within the margin, and that for all results includes zero: repeat more often",
    MISSING: "only one of the runs has it, or one of its repetitions, or it did not pass there",
}
MARGIN = 0.05
"""Of the first run's mean: two quiet runs on one machine differ by less, and no result here turns on as little."""
_RISK = 0.05


class Incomparable(AnalysisError):
    """Runs of different experiments or parameters; the message is one line."""


@dataclass(frozen=True)
class Difference:
    """The mean difference, half of its 95 % interval, the probability of as much when there is none."""

    value: float
    half_width: float
    probability: float


def check_comparable(a: Run, b: Run, across_builds: bool = False) -> None:
    """Raises Incomparable unless both runs were asked to measure the same; commits and machines may differ.

    With `across_builds` one may have run our stack compiled and the other as pure Python.
    """
    ours, theirs = a.manifest, b.manifest
    if ours["experiment"] != theirs["experiment"]:
        raise Incomparable(f"{a.path} is of {ours['experiment']}, {b.path} of {theirs['experiment']}")
    for what, first, second in (("parameter", a.parameters, b.parameters), ("specification", *_asked(ours, theirs))):
        names = [name for name in first | second if first.get(name) != second.get(name)]
        if names and what == "parameter":
            pairs = (f"{name} {first.get(name)} and {second.get(name)}" for name in names)
            raise Incomparable(f"{a.path}, {b.path}: parameters differ: {'; '.join(pairs)}")
        if names:
            raise Incomparable(f"{a.path}, {b.path}: what was asked differs in {', '.join(names)}")
    first, second = builds.of_stacks(a), builds.of_stacks(b)
    if not across_builds and any(first[stack] != second[stack] for stack in first if stack in second):
        raise Incomparable(
            f"{a.path}: {builds.caption(a)}, {b.path}: {builds.caption(b)}; --across-builds compares them all the same"
        )


def _asked(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What two runs were asked; of one that is kept with the project there are the networks instead, if any."""
    if not (ours.get("kept") or theirs.get("kept")):
        return ours["specification"], theirs["specification"]
    if not (ours.get("networks") and theirs.get("networks")):
        return {}, {}
    return {"networks": ours["networks"]}, {"networks": theirs["networks"]}


def compare(a: Run, b: Run, within: float = MARGIN, across_builds: bool = False) -> pd.DataFrame:
    """Return one row a point (its repetitions together) and result that the experiment's figure shows.

    `within` is the margin, a share of the first run's mean; `across_builds` as in `check_comparable`.

    Columns: `stack`, the factors, `metric`, `mean_a`, `sd_a`, `n_a` and the same of b (values joined by a space in
    `mean_*` for what is no number), `difference`, `half_width` of its interval, `margin`, `probability`, `verdict`.
    Stacks that were asked of one run alone are left out. Raises Incomparable.
    """
    check_comparable(a, b, across_builds)
    factors = ["stack", *a.factors]
    shared = [stack for stack in a.stacks if stack in b.stacks]
    if not shared:
        raise Incomparable(f"{a.path}, {b.path}: no stack is in both")
    rows = [row for stack in shared for row in _rows(_of(a, stack), _of(b, stack), factors, _metrics(a, b), within)]
    if not rows:
        raise Incomparable(f"{a.path}, {b.path}: no point of either has passed")
    frame = pd.DataFrame(rows)
    corrected = _RISK / max(1, int(frame["probability"].notna().sum()))
    outside = (frame["verdict"] == CANNOT_TELL) & (frame["probability"] < corrected)
    return frame.assign(verdict=frame["verdict"].mask(outside, DIFFERS))


def outcome(frame: pd.DataFrame) -> str:
    """Return the verdict on the whole run: DIFFERS when a row differs or is missing, REPEATED when every row is."""
    verdicts = set(frame["verdict"])
    if verdicts & {DIFFERS, MISSING}:
        return DIFFERS
    return CANNOT_TELL if CANNOT_TELL in verdicts else REPEATED


def table(frame: pd.DataFrame, title: str) -> Table:
    """Return the comparison for a terminal; the metric is in the title when there is one alone."""
    columns = list(frame.columns)
    names = columns[: columns.index("metric") + 1]
    if frame["metric"].nunique() == 1:
        title = f"{title}\n{names.pop()}: {frame['metric'].iloc[0]}"
    result = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in names:
        result.add_column(heading, overflow="fold")
    for heading in ("A", "B", "n", "B - A", "95 %", "margin"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("verdict", no_wrap=True)
    for row in frame.to_dict("records"):
        n = f"{row['n_a']}" if row["n_a"] == row["n_b"] else f"{row['n_a']}/{row['n_b']}"
        shown = [f"{row[name]}" for name in names]
        result.add_row(*shown, _mean(row, "a"), _mean(row, "b"), n, *_interval(row), row["verdict"])
    return result


def told(run: Run) -> str:
    """Return where a run is from: directory, days, commits, processors and kernels, and the build of our stack."""
    facts = origin.environment(run)
    known = [builds.caption(run)] if builds.caption(run) else []
    return ", ".join([str(run.path), facts["measured"], f"commit {facts['commit']}", origin.machine(run), *known])


def difference(changes: Sequence[float]) -> Difference:
    """Return the mean of the differences of pairs. One alone has no spread: the interval is infinite."""
    value, pairs = statistics.fmean(changes), len(changes)
    if pairs < 2:
        return Difference(value, math.inf, math.nan)
    error = statistics.stdev(changes) / math.sqrt(pairs)
    if not error:
        return Difference(value, 0.0, 0.0 if value else 1.0)
    probability = 2 * student_t.sf(abs(value) / error, pairs - 1)
    return Difference(value, float(student_t.ppf(1 - _RISK / 2, pairs - 1)) * error, float(probability))


def _rows(
    a: pd.DataFrame, b: pd.DataFrame, factors: list[str], metrics: Sequence[str], within: float
) -> Iterator[dict[str, Any]]:
    groups = [dict(iter(points.groupby(factors, sort=False, dropna=False))) for points in (a, b)]
    for point in dict.fromkeys([*groups[0], *groups[1]]):
        passed = [_passed(group.get(point)) for group in groups]
        outcomes = {outcome for group in groups if point in group for outcome in group[point]["outcome"]}
        shown = list(metrics)
        if "passed" not in outcomes:  # nor is it left out in silence, unless no run can have it
            shown = [] if outcomes == {"unsupported"} else ["any"]
        for metric in shown:
            first, second = (one[metric].dropna().to_dict() if metric in one else {} for one in passed)
            if first or second or metric == "any":
                name = dict(zip(factors, point, strict=True))
                yield name | {"metric": metric} | _judge(first, second, within)


def _judge(a: Mapping[Any, Any], b: Mapping[Any, Any], within: float) -> dict[str, Any]:
    """Return what a row says of values by repetition."""
    values = [*a.values(), *b.values()]
    numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) and math.isfinite(one) for one in values)
    row: dict[str, Any] = {}
    for name, sample in (("a", [*a.values()]), ("b", [*b.values()])):
        shown = " ".join(sorted(map(str, set(sample))))
        mean = statistics.fmean(sample) if numbers and sample else shown or math.nan
        spread = statistics.stdev(sample) if numbers and len(sample) > 1 else math.nan
        row |= {f"mean_{name}": mean, f"sd_{name}": spread, f"n_{name}": len(sample)}
    row |= dict.fromkeys(("difference", "half_width", "margin", "probability"), math.nan)
    pairs = [(a[repetition], b[repetition]) for repetition in a if repetition in b]
    if not pairs or a.keys() != b.keys():  # what is left of a run says nothing of what failed in it
        return row | {"verdict": MISSING}
    if all(first == second for first, second in pairs):
        return row | {"verdict": REPEATED}
    if not numbers:
        return row | {"verdict": DIFFERS}
    found = difference([second - first for first, second in pairs])
    margin = within * abs(statistics.fmean(first for first, _ in pairs))
    row |= {"difference": found.value, "half_width": found.half_width, "margin": margin}
    row |= {"probability": found.probability}
    inside = abs(found.value) + found.half_width <= margin
    return row | {"verdict": REPEATED if inside else CANNOT_TELL}  # or it differs: all rows together say


def _metrics(a: Run, b: Run) -> Sequence[str]:
    """Return the results that the figure shows (its METRICS, which may be patterns), or all numbers, or all words."""
    columns = list(a.points.columns)
    results = columns[columns.index("build") + 1 :]
    if named := getattr(figures.named(a), "METRICS", ()):
        either = [*results, *(name for name in b.points.columns if name not in columns)]
        return [name for pattern in named for name in fnmatch.filter(either, pattern)]
    numbers = [name for name in results if pd.api.types.is_numeric_dtype(a.points[name]) and name not in CLOCKS]
    return numbers or results


def _of(run: Run, stack: str) -> pd.DataFrame:
    return run.points[run.points["stack"] == stack]


def _passed(points: pd.DataFrame | None) -> pd.DataFrame:
    return pd.DataFrame() if points is None else points[points["outcome"] == "passed"].set_index("repetition")


def _interval(row: Mapping[Any, Any]) -> tuple[str, str, str]:
    """Return difference, half of its interval and margin as text."""
    if pd.isna(row["difference"]):
        return "", "", ""
    half = f"±{_short(row['half_width'])}" if math.isfinite(row["half_width"]) else "?"
    return f"{'+' if row['difference'] > 0 else ''}{_short(row['difference'])}", half, f"±{_short(row['margin'])}"


def _mean(row: Mapping[Any, Any], name: str) -> str:
    mean, spread = row[f"mean_{name}"], row[f"sd_{name}"]
    if isinstance(mean, str):
        return mean
    if pd.isna(mean):
        return "-"
    return _short(mean) + (f"±{_short(spread)}" if pd.notna(spread) else "")


def _short(number: float) -> str:
    """Return a number with three digits and a prefix of SI where it is large."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= factor:
            return f"{number / factor:.3g}{prefix}"
    return f"{number:.3g}"
