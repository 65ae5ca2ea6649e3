"""Run directories to tidy frames: one row a point, one column a factor or a measured quantity."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

FORMAT = 1
"""The layout of run directories that is read here (the manifest says which one it has)."""


class UnreadableRun(Exception):
    """A run directory that is not as expected; the message is one line."""


@dataclass(frozen=True)
class Run:
    """One run directory: its manifest, and its points as a frame.

    The frame has the columns `stack`, `repetition`, `outcome`, `why`, the experiment's factors and every
    scalar result, named as in results.csv (units in the names).
    """

    path: Path
    manifest: dict[str, Any]
    points: pd.DataFrame

    @property
    def name(self) -> str:
        """Experiment and hash: the run's name in file names."""
        return f"{self.manifest['experiment']}-{self.manifest['hash']}"

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
        manifest = json.loads((path / "manifest.json").read_text())
        points = pd.read_csv(path / "results.csv", keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise UnreadableRun(f"{path}: not a run directory ({error})") from error
    if manifest.get("format") != FORMAT:
        raise UnreadableRun(f"{path / 'manifest.json'}: format {manifest.get('format')}, expected {FORMAT}")
    return Run(path, manifest, points)


def find_runs(root: Path, experiment: str | None = None) -> list[Run]:
    """Return the runs under `root` that have at least one point, by experiment, the latest last."""
    manifests = root.glob(f"{experiment or '*'}/*/manifest.json")
    runs = [load_run(path.parent) for path in manifests if (path.parent / "results.csv").stat().st_size > 2]
    return sorted(runs, key=lambda run: (run.manifest["experiment"], run.manifest["sessions"][-1]["began"]))
