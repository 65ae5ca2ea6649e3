"""docs/results.md names what is written, and nothing else."""

import asyncio
import csv
import fnmatch
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from testbed.loadgen import bulk
from testbed.loadgen.client import Timing
from testbed.loadgen.framing import Received
from testbed.runs.formats import Manifest, PointRecord, Row, flatten
from testbed.stacks.measure import Measurement
from tests.testbed import toy
from tests.testbed.test_cli import PROJECT
from tests.testbed.test_loadgen import against_our_server
from tests.testbed.test_runner import run as measure

KEPT = PROJECT / "analysis" / "notebooks" / "results"
NO_MORE = {"cpu_bound"}
"""Columns of kept results that are no longer written."""
UNITS = {"ns": "ns", "us": "µs", "ms": "ms", "s": "s", "kb": "kB", "bytes": "bytes", "bps": "bit/s"}
"""Units as words of a name, and as the document writes them."""


def described(file: str) -> dict[str, set[str]]:
    """The names in the first column of the tables under a file's heading, and what the second has of each."""
    text = (PROJECT / "docs" / "results.md").read_text()
    (section,) = re.findall(rf"^## {re.escape(file)}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    found: dict[str, set[str]] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            _, names, second, *_ = line.split("|")
            for name in re.findall(r"`([^`]+)`", names):
                found.setdefault(name, set()).add(second.strip())
    return found


def documented(file: str) -> set[str]:
    return set(described(file))


def unit(column: str) -> str:
    """The unit that a column's name says that it has; "" for none."""
    if column.endswith("_per_s"):
        return "1/s"
    return next((UNITS[word] for word in column.split("_")[1:] if word in UNITS), "")


def written_columns() -> set[str]:
    """What results.csv has: of every point, of every experiment that is kept, of requests as they are counted now."""
    columns: set[str] = {*Row.model_fields, "busiest_program", "busiest_thread_share"}  # tests/testbed/test_busy.py
    for path in KEPT.glob("*/results.csv"):
        with path.open() as file:
            columns |= set(next(csv.reader(file)))
    return columns - NO_MORE


def test_every_column_of_results_csv_is_there(http_columns: set[str]) -> None:
    names = documented("results.csv")
    for column in written_columns() | http_columns:
        assert any(fnmatch.fnmatchcase(column, name) for name in names), column


def test_no_column_is_there_that_is_not_written(http_columns: set[str]) -> None:
    columns = written_columns() | http_columns
    unknown = {name for name in documented("results.csv") if not fnmatch.filter(columns, name)}
    assert unknown == set()


def test_every_column_has_its_unit(http_columns: set[str]) -> None:
    units = described("results.csv")
    for column in written_columns() | http_columns:
        matching = [name for name in units if fnmatch.fnmatchcase(column, name)]
        nearest = max(matching, key=lambda name: len(name.replace("*", "")))
        assert all(unit(column) in stated for stated in units[nearest]), column


@pytest.fixture(scope="module")
def http_columns() -> set[str]:
    """The result of real requests over the loopback."""
    run, _ = asyncio.run(against_our_server(requests=2))
    return set(flatten(run.result()))


def test_raw_files(tmp_path: Path) -> None:
    assert documented("requests.csv") == set(Timing._fields)
    assert documented("frames-*.csv") == set(Received._fields)
    receiver = bulk.Receiver(bulk.Order("download", 1, None, "none"))

    async def write() -> None:
        task = asyncio.create_task(bulk._write_timeline(receiver, tmp_path / "timeline.csv"))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(write())
    assert documented("timeline.csv") == set((tmp_path / "timeline.csv").read_text().splitlines()[0].split(","))
    stored = PROJECT / "tests" / "testbed" / "data"
    (percentiles,) = stored.glob("*percentiles*.csv")
    assert documented("percentiles.csv") == set(percentiles.read_text().splitlines()[0].split(","))


def test_documents(tmp_path: Path) -> None:
    measure(toy.toy(), tmp_path)
    (manifest,) = tmp_path.glob("toy/*/manifest.json")
    assert documented("manifest.json") == set(json.loads(manifest.read_text())) == set(Manifest.model_fields)
    for path in manifest.parent.glob("points/*/point.json"):
        assert documented("point.json") == set(json.loads(path.read_text())) == set(PointRecord.model_fields)
    assert documented("measurement.json") == {"commands", "congestion_seen", *(one.name for one in fields(Measurement))}
