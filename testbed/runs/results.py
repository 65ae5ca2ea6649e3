"""Run directories: where results are written, and how they are found again.

One run directory per resolved specification::

    results/<experiment>/<hash of the specification>/
        manifest.json           what was asked, on which machine, how it ended
        results.csv             tidy table: one row a point
        points/<point>/         raw files of one point, and point.json with its outcome
        failed/<point>.<n>/     attempts that failed and were made again later
        stale/<point>.<n>/      points of other code that were measured anew
        code/<digest>/          files of the user's and the experiment's that took part, each version once
    results/<experiment>/<hash>.<n>/    an earlier run, kept when everything was measured anew (`run --fresh`)

A point's directory is filled under another name and renamed when it is complete, every other file is replaced
in one step: whatever stands under its final name is whole, however the run ended.
"""

from __future__ import annotations

import csv
import fcntl
import glob
import hashlib
import io
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from analysis.errors import UnreadableFile
from analysis.files import Document, read_document, replace, within
from analysis.manifest import Manifest
from testbed.errors import LabError

FORMAT = 1
"""Version of the layout above; part of every manifest."""

PASSED, FAILED, UNSUPPORTED, INCOMPLETE = "passed", "failed", "unsupported", "incomplete"
"""Outcomes. A point has one of the first three, a run may also be incomplete."""

EXIT_CODES = {PASSED: 0, FAILED: 1, INCOMPLETE: 1, UNSUPPORTED: 3}
"""What the command line returns for the outcome of a run."""

_UNFINISHED_SUFFIX = ".unfinished"


def specification_hash(specification: Mapping[str, Any]) -> str:
    """Return the 12 hexadecimal digits that name a resolved specification (JSON values only)."""
    canonical = json.dumps({"format": FORMAT, **specification}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def write_json(path: Path, document: Any) -> None:
    """Replace `path` by `document` as JSON, in one step."""
    replace(path, f"{json.dumps(document, indent=2)}\n".encode())


def _read(path: Path, model: type[Document], form: int | None = None) -> dict[str, Any] | None:
    """Return the JSON object in `path`, or None when there is no such file. LabError when it is not as it must be."""
    if not os.path.lexists(path):
        return None
    try:
        return read_document(path, model, form)
    except UnreadableFile as error:
        raise LabError(f"{error}; move it away to measure again") from error


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the scalars of a nested mapping, keys joined by `_`; lists are left to the raw files."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}_")
        elif value is None or isinstance(value, (str, int, float, bool)):
            flat[f"{prefix}{key}"] = value
    return flat


class _Collected(Document):
    outcome: str
    why: str | None
    cpu_s: float | None


class _Record(Document):
    """`point.json`: what a point's own directory says of it."""

    key: str
    stack: str
    repetition: int
    factors: dict[str, str | int | float]
    outcome: Literal["passed", "failed", "unsupported"]
    why: list[str]
    began: str
    seconds: float
    seed: int
    session: int
    lab: int
    placement: dict[str, Any]
    result: dict[str, Any]
    collectors: dict[str, _Collected] = Field(default_factory=dict)
    code: dict[str, str] = Field(default_factory=dict)


class RunDirectory:
    """The run directory of one specification under `root`; made at the first write.

    Raises ForeignPlace when links lead it out of `root`.
    """

    def __init__(self, root: Path, experiment: str, specification: Mapping[str, Any]) -> None:
        self.root = root
        self.specification = dict(specification)
        self.hash = specification_hash(specification)
        self.path = within(root, experiment, self.hash)
        self.manifest_path = self.path / "manifest.json"
        self.table_path = self.path / "results.csv"
        self._points = within(root, experiment, self.hash, "points")

    def __repr__(self) -> str:
        return f"<RunDirectory {vars(self).get('path', 'not made')}>"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for one run, and clear what an interrupted one left.

        Raises LabError when another run holds it.
        """
        self._points.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise LabError(f"{self.path}: another run is writing here; wait for its end or use --out") from error
        try:
            for leftover in self._points.glob(f"*{_UNFINISHED_SUFFIX}"):
                shutil.rmtree(leftover)
            yield
        finally:
            os.close(descriptor)

    def manifest(self) -> dict[str, Any]:
        """Return the manifest, or an empty mapping before the first run."""
        manifest = _read(self.manifest_path, Manifest, FORMAT)
        if manifest is None and any(self._points.glob("*/point.json")):
            raise LabError(
                f"{self.manifest_path}: missing, and there are points: move {self.path} away to measure again"
            )
        return manifest or {}

    def point(self, key: str) -> dict[str, Any] | None:
        """Return the record of the point `key`, or None when it has not been measured to an end."""
        return _read(self._points / key / "point.json", _Record)

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Give a directory for the raw files of the point `key`; it counts only if the block ends normally.

        An earlier attempt is kept under `failed/`, one that had passed under `stale/`.
        """
        unfinished = self._points / f"{key}{_UNFINISHED_SUFFIX}"
        unfinished.mkdir()
        try:
            yield unfinished
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        final = self._points / key
        if os.path.lexists(final):
            record = self.point(key)
            self._put_aside(final, "stale" if record and record["outcome"] == PASSED else "failed")
        unfinished.rename(final)

    def write_table(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write results.csv: the factors, the outcome and every scalar result of each record."""
        rows = [table_row(record) for record in records]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        replace(self.table_path, text.getvalue().encode())

    def set_aside(self) -> Path | None:
        """Keep what was measured here beside, as `<hash>.<n>`; return where, or None when there was nothing.

        Raises LabError while another run holds it.
        """
        if not os.path.lexists(self.manifest_path):
            return None
        with self.locked():
            numbers = (number for number in itertools.count(1) if not os.path.lexists(f"{self.path}.{number}"))
            beside = within(self.root, self.path.parent.name, f"{self.hash}.{next(numbers)}")
            self.path.rename(beside)
        return beside

    def _put_aside(self, final: Path, attic_name: str) -> None:
        attic = within(self.path, attic_name)
        attic.mkdir(exist_ok=True)
        attempts = sum(1 for _ in attic.glob(f"{glob.escape(final.name)}.*"))
        final.rename(attic / f"{final.name}.{attempts + 1}")


def table_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flat row of results.csv for one point's record.

    What was asked for stays when a result has the same name: a program may call itself by another one.
    """
    asked = {
        "stack": record["stack"],
        "repetition": record["repetition"],
        **record["factors"],
        "outcome": record["outcome"],
        "why": "; ".join(record["why"]),
    }
    return asked | {name: value for name, value in flatten(record["result"]).items() if name not in asked}
