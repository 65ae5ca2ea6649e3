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
from testbed.runs.results import flatten
from testbed.stacks.measure import Measurement
from tests.testbed import toy
from tests.testbed.test_cli import PROJECT
from tests.testbed.test_loadgen import against_our_server
from tests.testbed.test_runner import run as measure

KEPT = PROJECT / "analysis" / "notebooks" / "results"
NO_MORE = {"cpu_bound"}
"""Columns of kept results that are no longer written."""


def documented(file: str) -> set[str]:
    """The names in the first column of the tables under a file's heading."""
    text = (PROJECT / "docs" / "results.md").read_text()
    (section,) = re.findall(rf"^## {re.escape(file)}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def written_columns() -> set[str]:
    """What results.csv has: of every experiment that is kept, and of requests as they are counted now."""
    columns: set[str] = {"busiest_program", "busiest_thread_share"}  # tests/testbed/test_busy.py
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
    assert documented("manifest.json") == set(json.loads(manifest.read_text()))
    for path in manifest.parent.glob("points/*/point.json"):
        assert documented("point.json") == set(json.loads(path.read_text()))
    assert documented("measurement.json") == {"commands", "congestion_seen", *(one.name for one in fields(Measurement))}
