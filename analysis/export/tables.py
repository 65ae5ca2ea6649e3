"""The tables of a data set: one of all points of an experiment, and one for each kind of raw table that points have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from analysis.errors import UnreadableFile
from analysis.files import open_regular, within
from analysis.load import Run

POINTS: Final = "points"
_UNITS: Final[Mapping[str, str]] = {
    "ns": "ns", "us": "us", "ms": "ms", "s": "s", "seconds": "s", "bytes": "B", "kb": "kB", "gbyte": "GB",
    "bps": "bit/s", "share": "1",
}  # fmt: skip
"""By word in a column's name, as docs/results.md has it: of `latency_ms_total_p50` the last of them counts."""
_KINDS: Final = (("bool", "boolean"), ("int", "integer"), ("float", "number"))
"""Of pandas' types, as a Table Schema calls them; others are strings."""
_SAID: Final[Mapping[str, str]] = {
    "run": "experiment and hash: the run that the point is of",
    "stack": "the stack under test, with its settings",
    "repetition": "from 1; one number has one seed in every run",
    "outcome": "passed, failed or unsupported",
    "why": "what was wrong",
    "build": "of our stack: compiled or pure; empty where it took no part",
    "stale": "whether the code that measured it has changed since, in the project that exported it",
}


def of(runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    """Return the tables of runs of one experiment by name: `points`, and the raw ones by the name of their files.

    Raises UnreadableFile.
    """
    points = pd.concat([_with_run(run, run.points).assign(stale=bool(run.stale)) for run in runs], ignore_index=True)
    found: dict[str, list[pd.DataFrame]] = {}
    for run in runs:
        for name, table in _raw(run):
            found.setdefault(name, []).append(_with_run(run, table))
    if POINTS in found:
        raise UnreadableFile(f"{runs[0].path}: a raw table of a point is called {POINTS}.csv, as that of all points is")
    return {POINTS: points} | {name: pd.concat(found[name], ignore_index=True) for name in sorted(found)}


def _with_run(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    copy = table.copy()
    copy.insert(0, "run", run.name)
    return copy


def _raw(run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the tables in the directories of a run's points, each with the point that it is of."""
    for _, point in run.points.iterrows():
        for path in sorted(run.point_directory(point).glob("*.csv")):
            table = _read(within(run.path, str(path.relative_to(run.path))))
            for place, name in enumerate(("stack", "repetition", *run.factors)):
                if name in table:
                    raise UnreadableFile(f"{path}: has a column {name}, as the table of points has")
                table.insert(place, name, point[name])
            yield path.stem, table


def _read(path: Path) -> pd.DataFrame:
    with open_regular(path) as file:
        try:
            return pd.read_csv(file, keep_default_na=False, na_values=[""])  # as the table of points is read
        except ValueError as error:
            raise UnreadableFile(f"{path}: not a table ({' '.join(str(error).split())})") from error


def write(table: pd.DataFrame, folder: Path, place: Path) -> dict[str, str]:
    """Write a table as Parquet and CSV with its schema; return what each file is, by its place in `folder`."""
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    named = {suffix: f"{place}{suffix}" for suffix in (".parquet", ".csv", ".schema.json")}
    try:
        table.to_parquet(folder / named[".parquet"], index=False)
    except (ValueError, TypeError) as error:  # what Arrow raises for a column of several types
        raise UnreadableFile(f"{place}: not one table of all points ({' '.join(str(error).split())})") from error
    table.to_csv(folder / named[".csv"], index=False, lineterminator="\n")
    (folder / named[".schema.json"]).write_text(json.dumps(schema(table), indent=2) + "\n")
    what = f"{place.name} of the experiment {place.parent.name}, {len(table)} rows"
    return {named[".parquet"]: what, named[".csv"]: what, named[".schema.json"]: f"columns of {place.name}"}


def schema(table: pd.DataFrame) -> dict[str, Any]:
    """Return the Frictionless Table Schema of a table; `unit` is that of numbers which have one."""
    return {"fields": [_field(str(name), column) for name, column in table.items()], "missingValues": [""]}


def _field(name: str, column: pd.Series) -> dict[str, str]:
    kind = str(pd.api.types.infer_dtype(column, skipna=True) if column.dtype == object else column.dtype)
    field = {"name": name, "type": next((ours for begin, ours in _KINDS if kind.lower().startswith(begin)), "string")}
    unit = _unit(name)
    if unit and field["type"] != "string":
        field["unit"] = unit
    if name in _SAID:
        field["description"] = _SAID[name]
    return field


def _unit(name: str) -> str:
    """Return the unit that a column's name has: `answers_per_s` is 1/s, `cpu_s_per_gbyte` is s/GB."""
    what, _, per = name.partition("_per_")
    first, *words = what.split("_")
    units = [_UNITS[word] for word in ("" if first == "s" else first, *words) if word in _UNITS]
    below = [_UNITS[word] for word in per.split("_")[:1] if word in _UNITS]
    return "/".join([*(units[-1:] or ["1"]), *below]) if units or below else ""
