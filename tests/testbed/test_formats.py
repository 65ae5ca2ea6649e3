"""The formats of a run's files: the schemas are of what is written, and what does not fit is told in one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from analysis import formats
from analysis.errors import UnreadableFile
from testbed.errors import LabError
from testbed.runs.formats import PointRecord, schema_files
from testbed.runs.runner import Plan
from tests.testbed.test_cli import PROJECT
from tests.testbed.test_runner import run
from tests.testbed.toy import toy

KEPT = PROJECT / "analysis" / "notebooks" / "results"


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """The directory of a run."""
    run(toy(), tmp_path)
    (path,) = tmp_path.glob("toy/*")
    return path


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_schemas_that_ship_are_those_of_the_models() -> None:
    """`python -m testbed.runs.formats` writes them anew."""
    there = {path.name: path.read_text() for path in Path(formats.__file__).parent.glob("*.json")}
    assert there == schema_files()


def test_what_is_written_fits_its_schema(measured: Path) -> None:
    formats.check(document(measured / "manifest.json"), "manifest", "manifest.json")
    for path in measured.glob("points/*/point.json"):
        formats.check(found := document(path), "point", "point.json")
        formats.check(PointRecord.model_validate(found).row(), "results", "results.csv")


def test_a_row_is_written_by_its_model() -> None:
    """Names that the model itself has, and what Python takes for the same, stay what they were."""
    result = {"copy": 1.0, "model_dump": True, "nested": {"json": None, "list": [1]}}
    point = {"key": "k", "stack": "s", "repetition": 2, "factors": {"size": 1}}
    record = PointRecord.model_construct(**point, outcome="failed", why=["a", "b"], result=result)
    row = record.row()
    assert list(row.items()) == [
        ("stack", "s"), ("repetition", 2), ("size", 1), ("outcome", "failed"), ("why", "a; b"), ("build", None),
        ("copy", 1.0), ("model_dump", True), ("nested_json", None),
    ]  # fmt: skip
    assert [type(value) for value in row.values()] == [
        str, int, int, str, str, type(None), float, bool, type(None),
    ]  # fmt: skip
    record.outcome = "perhaps"
    with pytest.raises(ValueError, match="outcome"):
        record.row()


@pytest.mark.parametrize("path", sorted(KEPT.glob("*/manifest.json")), ids=lambda path: path.parent.name)
def test_results_that_are_kept_fit(path: Path) -> None:
    formats.check(document(path), "manifest", str(path))
    with path.with_name("results.csv").open() as file:
        for row in csv.DictReader(file):
            read = {name: value or None for name, value in row.items()} | {"repetition": int(row["repetition"])}
            formats.check(read, "results", str(path))


def test_points_of_before_they_named_their_format_are_read(measured: Path) -> None:
    path = next(measured.glob("points/*/point.json"))
    before = document(path)
    del before["format"]
    path.write_text(json.dumps(before))
    formats.check(before, "point", "point.json")
    assert len(Plan(toy(), measured.parents[1]).records()) == 8


@pytest.mark.parametrize("name", ["manifest.json", "points/*/point.json"])
def test_another_format_is_refused_before_all_else(measured: Path, name: str) -> None:
    path = next(measured.glob(name))
    path.write_text(json.dumps(document(path) | {"format": 2, "why": 5}))
    with pytest.raises(LabError) as refused:
        Plan(toy(), measured.parents[1]).records()
    assert str(refused.value) == f"{path}: format: must be one of 1, not 2; move it away to measure again"


SPOILT = {
    "is required": ({"title": None}, "title: is required"),
    "another version": ({"format": 2, "sessions": 5}, "format: 2; allowed: 1"),
    "no version": ({"format": None}, "format: null; allowed: 1"),
    "true is no version": ({"format": True}, "format: true; const: 1"),
    "a type": ({"title": 5}, "title: must be text, not 5"),
    "a type within": ({"labs": [{"stack": {}}]}, "labs[0].stack: must be text, not {}"),
    "in one of two types": (
        {"labs": [{"calibration": [{"link": "a", "direction": "b", "depth": {"asked_bytes": 1}}]}]},
        "labs[0].calibration[0].depth.measured_bytes: is required",
    ),
    "one of two types": ({"sessions": [{"ended": 5}]}, "sessions[0].ended: must be text or null, not 5"),
    "one of some": ({"outcome": "perhaps"}, 'outcome: "perhaps"; allowed: passed, failed, unsupported, incomplete'),
    "a name of two lines": ({"hash": "a\n"}, r'hash: "a\n"; pattern: ^'),
    "too few": ({"sessions": []}, "sessions: []; minItems: 1"),
    "a long one": ({"title": ["x" * 1000]}, f'title: must be text, not ["{"x" * 58}...'),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_does_not_fit_is_told_with_its_field(what: str) -> None:
    fields, told = SPOILT[what]
    spoilt = {k: v for k, v in (document(KEPT / "quickstart" / "manifest.json") | fields).items() if v is not None}
    with pytest.raises(UnreadableFile) as refused:
        formats.check(spoilt, "manifest", "here")
    assert str(refused.value).startswith(f"here: {told}")
