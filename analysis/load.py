"""Run directories to tidy frames: one row a point, one column a factor or a measured quantity."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import formats
from analysis.code import staleness
from analysis.errors import UnreadableFile, UnreadableRun
from analysis.files import read_json, read_text

__all__ = ["Run", "UnreadableRun", "find_runs", "load_run"]


@dataclass(frozen=True)
class Run:
    """One run directory: its manifest, and its points as a frame.

    The frame has the columns `stack`, `repetition`, the experiment's factors, `outcome`, `why`, `build` and every
    scalar result, named as in results.csv (units in the names).
    """

    path: Path
    manifest: dict[str, Any]
    points: pd.DataFrame

    def __repr__(self) -> str:
        if "points" not in vars(self):
            return "<Run not made>"
        outcome, stacks = self.manifest["outcome"], len(self.manifest["stacks"])
        return f"<Run {self.name} {outcome}, {len(self.points)} points, {stacks} stacks>"

    @property
    def name(self) -> str:
        """Experiment and hash: the run's name in file names. An earlier run that is kept beside has a number, too."""
        known = self.manifest["hash"]
        number = self.path.name.removeprefix(known) if re.fullmatch(rf"{re.escape(known)}\.\d+", self.path.name) else ""
        return f"{self.manifest['experiment']}-{known}{number}"

    @property
    def stale(self) -> str:
        """Whether its points are of other code than is here, in a few words; "" if they are not (`analysis.code`)."""
        return staleness(self.manifest.get("code", ()), len(self.points))

    @property
    def parameters(self) -> dict[str, Any]:
        """The experiment's parameters."""
        parameters: dict[str, Any] = self.manifest["specification"]["parameters"]
        return parameters

    @property
    def factors(self) -> list[str]:
        """The names of the factors: what results.csv has before the outcome, beside stack and repetition."""
        columns = list(self.points.columns)
        return [name for name in columns[: columns.index("outcome")] if name not in ("stack", "repetition")]

    def point_directory(self, row: Any) -> Path:
        """Return the directory of the raw files of a point, which is a row of `points` (a Series or a named tuple)."""
        factors = [f"{name}-{getattr(row, name)}" for name in self.factors]
        key = ".".join([row.stack.replace(":", "-"), *factors, f"r{row.repetition}"])
        return self.path / "points" / key.replace("/", "-")

    @property
    def passed(self) -> pd.DataFrame:
        """The points that passed their checks."""
        return self.points[self.points["outcome"] == "passed"]

    @property
    def stacks(self) -> list[str]:
        """The stacks that have points, in the order of the manifest."""
        present = set(self.points["stack"])
        return [stack for stack in self.manifest["stacks"] if stack in present]


def load_run(path: Path) -> Run:
    """Read one run directory. Raises UnreadableRun."""
    try:
        manifest = read_json(path / "manifest.json")
        formats.check(manifest, "manifest", str(path / "manifest.json"))
        text = read_text(path / "results.csv")
    except UnreadableFile as error:
        raise UnreadableRun(f"{path}: not a run directory ({error})") from error
    return Run(path, manifest, _points(text, manifest, path / "results.csv"))


def find_runs(root: Path, experiment: str | None = None) -> list[Run]:
    """Return the runs under `root` that have at least one point, by experiment, the latest last."""
    directories = (path for path in root.glob(f"{experiment or '*'}/*") if os.path.lexists(path / "manifest.json"))
    runs = [load_run(directory) for directory in directories if not _is_empty(directory / "results.csv")]
    return sorted(runs, key=lambda run: (run.manifest["experiment"], run.manifest["sessions"][-1].get("began", "")))


def _build_of_before(stack: str) -> str | None:
    """Return what our stack was in results of before it was compiled."""
    return "pure" if re.split("[@+]", stack)[0] in ("python-tcp", "python-mptcp") else None


def _is_empty(table: Path) -> bool:
    """Whether a table has not even a heading: nothing was measured yet."""
    return table.is_file() and table.stat().st_size <= 2 and not table.read_bytes().strip()


def _points(text: str, manifest: Mapping[str, Any], path: Path) -> pd.DataFrame:
    """The table of points. Raises UnreadableRun for one that is torn or has not the columns that all have."""
    try:
        words = dict.fromkeys(("stack", "outcome", "why", "build"), str)
        points = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""], dtype=words)
    except (ValueError, OverflowError) as error:
        raise UnreadableRun(f"{path}: not a table ({' '.join(str(error).split())})") from error
    if missing := [name for name in formats.schema("results")["required"] if name not in points]:
        raise UnreadableRun(f"{path}: has no column {', '.join(missing)}")
    if "build" not in points:
        points.insert(list(points).index("why") + 1, "build", points["stack"].map(_build_of_before))
    # The table is written before the manifest, and both before the next point.
    measured = len(manifest.get("points", ()))
    if points.empty or not text.endswith("\n") or len(points) < measured:
        raise UnreadableRun(
            f"{path}: cut off after {len(points)} rows, the manifest has {measured or 'none'};"
            " the same `run` again writes it anew"
        )
    columns = list(formats.schema("results")["properties"])
    rows = points[columns].astype(object).where(points[columns].notna(), None).itertuples(index=False, name=None)
    for number, values in enumerate(rows, 1):
        try:
            formats.check(dict(zip(columns, values, strict=True)), "results", f"{path}: row {number}")
        except UnreadableFile as error:
            raise UnreadableRun(str(error)) from error
    return points
