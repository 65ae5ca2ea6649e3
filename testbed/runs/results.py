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
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from analysis.errors import UnreadableFile
from analysis.files import read_json, replace, within
from testbed.errors import LabError
from testbed.input.validation import validate
from testbed.runs.formats import FORMAT, Manifest, PointRecord

PASSED: Final = "passed"
FAILED: Final = "failed"
UNSUPPORTED: Final = "unsupported"
INCOMPLETE: Final = "incomplete"
"""Outcomes. A point has one of the first three, a run may also be incomplete."""

EXIT_CODES: Final[Mapping[str, int]] = {PASSED: 0, FAILED: 1, INCOMPLETE: 1, UNSUPPORTED: 3}
"""What the command line returns for the outcome of a run."""

_UNFINISHED_SUFFIX = ".unfinished"


def specification_hash(specification: Mapping[str, Any]) -> str:
    """Return the 12 hexadecimal digits that name a resolved specification (JSON values only)."""
    canonical = json.dumps({"format": FORMAT, **specification}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def write_json(path: Path, document: BaseModel) -> None:
    """Replace `path` by `document` as JSON, in one step."""
    replace(path, f"{json.dumps(document.model_dump(), indent=2)}\n".encode())


_Document = TypeVar("_Document", bound=BaseModel)


def _read(path: Path, model: type[_Document]) -> _Document | None:
    """Return what is in `path`, or None when there is no such file. LabError when it is not as it must be."""
    if not os.path.lexists(path):
        return None
    try:
        return validate(model, read_json(path), str(path))
    except (UnreadableFile, LabError) as error:
        raise LabError(f"{error}; move it away to measure again") from error


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

    def manifest(self) -> Manifest | None:
        """Return the manifest, or None before the first run."""
        manifest = _read(self.manifest_path, Manifest)
        if manifest is None and any(self._points.glob("*/point.json")):
            raise LabError(
                f"{self.manifest_path}: missing, and there are points: move {self.path} away to measure again"
            )
        return manifest

    def point(self, key: str) -> PointRecord | None:
        """Return the record of the point `key`, or None when it has not been measured to an end."""
        return _read(self._points / key / "point.json", PointRecord)

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
            self._put_aside(final, "stale" if record and record.outcome == PASSED else "failed")
        unfinished.rename(final)

    def write_table(self, records: Sequence[PointRecord]) -> None:
        """Write results.csv: a row for each record (`PointRecord.row`)."""
        rows = [record.row() for record in records]
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
