"""The files that collectors leave: `collectors.json`, and lines of JSON with one reading each.

`collectors.json` beside the raw files says for each collector its `outcome`, `files`, `commands` and cost; `workload`
has the load's `began_ns` and `ended_ns`, `clocks` two moments on CLOCK_MONOTONIC and on the wall clock. A sampled
collector's file has one document a line: `time_ns` (CLOCK_MONOTONIC), `host` (empty: the whole machine), `source`, and
one of `text`, `base64` and `value`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pandas as pd
from pydantic import StringConstraints

from analysis.errors import UnreadableFile
from analysis.files import PLAIN_NAME, Document, open_regular, read_document

FORMAT = 1
"""The layout that is read here (collectors.json says which one it has)."""

DIRECTORY, SIDECAR = "collected", "collectors.json"


class _Record(Document):
    outcome: str
    why: str | None = None
    files: list[Annotated[str, StringConstraints(pattern=PLAIN_NAME)]]


class _Workload(Document):
    began_ns: int


class _Clock(Document):
    monotonic_ns: int
    wall_ns: int


class _Sidecar(Document):
    """`collectors.json`, as far as it is read here."""

    collectors: dict[str, _Record]
    workload: _Workload
    clocks: Sequence[_Clock] = ()


class Reading(NamedTuple):
    """One reading of one source. `content` is text, bytes or a JSON value."""

    time_s: float
    host: str
    source: str
    content: Any


@dataclass(frozen=True)
class Collected:
    """What one collector left."""

    directory: Path
    name: str
    sidecar: dict[str, Any]

    @classmethod
    def open(cls, directory: Path, name: str) -> Collected:
        """Find the files of a collector in a point's directory. Raises UnreadableFile, with why it did not run."""
        if not (directory / SIDECAR).exists():
            directory = directory / DIRECTORY
        path = directory / SIDECAR
        try:
            sidecar = read_document(path, _Sidecar, FORMAT)
        except UnreadableFile as error:
            raise UnreadableFile(f"{path}: not a record of collectors ({error})") from error
        if name not in sidecar["collectors"]:
            raise UnreadableFile(f"{path}: no collector '{name}'; there are {', '.join(sidecar['collectors'])}")
        record = sidecar["collectors"][name]
        if not record["files"]:
            raise UnreadableFile(f"{path}: collector {name} left no files: {record['outcome']}: {record['why']}")
        return cls(directory, name, sidecar)

    @property
    def record(self) -> dict[str, Any]:
        """What collectors.json says of it."""
        record: dict[str, Any] = self.sidecar["collectors"][self.name]
        return record

    @property
    def paths(self) -> list[Path]:
        """Its files."""
        return [self.directory / file for file in self.record["files"]]

    def seconds(self, time_ns: int) -> float:
        """Return a time of CLOCK_MONOTONIC as seconds since the load began."""
        return float(time_ns - self.sidecar["workload"]["began_ns"]) / 1e9

    def wall_seconds(self, wall_ns: int) -> float:
        """Return a time of day, in ns since the epoch, as seconds since the load began."""
        clock = self.sidecar["clocks"][0]
        return self.seconds(wall_ns - clock["wall_ns"] + clock["monotonic_ns"])

    def readings(self) -> Iterator[Reading]:
        """Read the lines of a sampled collector's file. Raises UnreadableFile for one that is none."""
        for path in self.paths:
            with open_regular(path) as lines:
                for number, line in enumerate(lines, 1):
                    try:
                        document = json.loads(line)
                        time_s = self.seconds(document["time_ns"])
                        reading = Reading(time_s, document["host"], document["source"], _content(document))
                    except (ValueError, LookupError, TypeError, RecursionError) as error:
                        raise UnreadableFile(f"{path}:{number}: not a reading ({error})") from error
                    yield reading

    def frame(self, rows: list[dict[str, Any]] | dict[str, Any]) -> pd.DataFrame:
        """Return rows, or columns, as a frame. Raises UnreadableFile when there are none."""
        if not rows:
            raise UnreadableFile(f"{self.directory}: collector {self.name} saw nothing")
        return pd.DataFrame(rows)


def _content(document: dict[str, Any]) -> Any:
    if "base64" in document:
        return base64.b64decode(document["base64"])
    return document["text"] if "text" in document else document["value"]


def collected_directories(run: Path) -> list[Path]:
    """Return the directories of raw files of collectors in a run directory, by point."""
    return sorted(path.parent for path in run.glob(f"points/*/{DIRECTORY}*/{SIDECAR}"))


def deltas(frame: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Return `frame` with counters in `columns` as what was added since the sample before, first samples left out.

    `by` names the columns that tell the counters' owners apart; `interval_s` is the time between the samples.
    """
    frame = frame.sort_values([*by, "time_s"], kind="stable")
    changes = frame.groupby(by, sort=False)[["time_s", *columns]].diff()
    result = frame.assign(interval_s=changes["time_s"], **{name: changes[name] for name in columns})
    return result.dropna(subset=["interval_s"]).reset_index(drop=True)
