"""Runs as a data set: whole, read back as they were, the same twice; where it is refused nothing is left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis.errors import UnreadableFile
from analysis.export import About, NotExported, export, tables
from analysis.load import Run, load_run
from tests.analysis.test_analysis import write_run

pytest.importorskip("pyarrow", reason="the packages of the extra `data` are not here")
pytest.importorskip("rocrate", reason="the packages of the extra `data` are not here")

AWKWARD = 'with "quotes", commas\nand lines'
ABOUT = About("Multipath TCP: quickstart", ("A. Uthor", "Ö. Ther"), "CC-BY-4.0")


def run_of(root: Path, name: str = "quickstart", repetitions: int = 2) -> Run:
    """A run with raw tables, a module of a user's, and values that tables easily lose."""
    points = [
        {"stack": stack, "repetition": repetition, "size_bytes": size, "outcome": "passed", "why": "", "build": build,
         "requests_per_s": 100 / 3 * repetition if size > 1 else None, "answered": size > 1, "note": AWKWARD}
        for stack, build in (("kernel-tcp", ""), ("mine:Stack", "compiled"))
        for size in (1, 2**40)
        for repetition in range(1, repetitions + 1)
    ]  # fmt: skip
    path = write_run(root, name, "general", {}, points, outcome="passed", scale="quick")
    (path / "code").mkdir()
    (path / "code" / "mine.py").write_text("class Stack: ...\n")
    run = load_run(path)
    for _, point in run.points.iterrows():
        directory = run.point_directory(point)
        directory.mkdir(parents=True)
        pd.DataFrame({"due_ns": [0, 2**60], "outcome": ["ok", "None"]}).to_csv(directory / "requests.csv", index=False)
    return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return run_of(tmp_path / "results")


def test_what_is_read_back_is_what_the_run_has(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    export([run], folder, ABOUT)
    points = pd.read_parquet(folder / "data/quickstart/points.parquet")
    pd.testing.assert_frame_equal(points.drop(columns=["run", "stale"]), run.points)
    assert set(points["run"]) == {run.name}
    text = pd.read_csv(folder / "data/quickstart/points.csv", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(text.drop(columns=["run", "stale"]), run.points, check_dtype=False)
    requests = pd.read_parquet(folder / "data/quickstart/requests.parquet")
    assert list(requests) == ["run", "stack", "repetition", "size_bytes", "due_ns", "outcome"]
    assert len(requests) == 2 * len(run.points)
    assert requests["due_ns"].max() == 2**60
    assert set(requests["outcome"]) == {"ok", "None"}
    joined = requests.merge(points, on=["run", "stack", "repetition", "size_bytes"])
    assert len(joined) == len(requests)


def test_every_file_is_described_and_its_sum_is_right(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    files = export([run], folder, ABOUT)
    names = {str(path.relative_to(folder)) for path in files}
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    assert len(checked.stdout.splitlines()) == len(names) - 1
    graph = {one["@id"]: one for one in json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]}
    parts = {one["@id"] for one in graph["./"]["hasPart"]}
    assert parts == names - {"SHA256SUMS", "ro-crate-metadata.json"}
    assert all(graph[name]["contentSize"] == str((folder / name).stat().st_size) for name in parts)
    action = graph[f"#{run.name}"]
    assert {one["@id"] for one in action["result"]} == {name for name in parts if name.startswith(("data/", "runs/"))}
    citation = yaml.safe_load((folder / "CITATION.cff").read_text())
    assert citation["authors"] == [{"name": "A. Uthor"}, {"name": "Ö. Ther"}]
    assert citation["license"] == "CC-BY-4.0"
    schema = json.loads((folder / "data/quickstart/points.schema.json").read_text())
    fields = {one["name"]: one for one in schema["fields"]}
    assert list(fields) == ["run", *run.points.columns, "stale"]
    assert (fields["requests_per_s"]["type"], fields["requests_per_s"]["unit"]) == ("number", "1/s")
    assert (fields["size_bytes"]["type"], fields["size_bytes"]["unit"]) == ("integer", "B")
    assert fields["answered"]["type"] == "boolean"


def test_its_readme_reads_it(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    export([run], folder, ABOUT)
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    found: dict[str, pd.DataFrame] = {}
    exec(code.replace('"data/', f'"{folder}/data/'), found)
    assert len(found["passed"]) == len(run.passed)


def test_the_same_runs_give_the_same_bytes(run: Run, tmp_path: Path) -> None:
    first, second = (export([run], tmp_path / name, ABOUT) for name in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_runs_of_one_experiment_share_tables_and_others_do_not(run: Run, tmp_path: Path) -> None:
    again = run_of(tmp_path / "again", repetitions=3)
    other = load_run(shutil.move(again.path, again.path.with_name("fedcba987654")))
    other.manifest["hash"] = "fedcba987654"
    third = run_of(tmp_path / "third", "handover")
    export([run, other, third], tmp_path / "set", ABOUT)
    points = pd.read_parquet(tmp_path / "set/data/quickstart/points.parquet")
    assert points["run"].value_counts().to_dict() == {run.name: 8, other.name: 12}
    assert len(pd.read_parquet(tmp_path / "set/data/handover/points.parquet")) == 8
    assert len(list((tmp_path / "set/runs").iterdir())) == 3


def test_a_folder_that_is_there_is_left_as_it_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(NotExported, match="is there already"):
        export([run], tmp_path / "set", ABOUT)
    assert list((tmp_path / "set").iterdir()) == []
    with pytest.raises(NotExported, match="is in the run"):
        export([run], run.path / "set", ABOUT)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(NotExported, match="is there already"):
        export([run], tmp_path / "link", ABOUT)
    with pytest.raises(NotExported, match="too long"):
        export([run], tmp_path / ("x" * 300), ABOUT)
    with pytest.raises(NotExported, match="there is no folder"):
        export([run], tmp_path / "nowhere" / "set", ABOUT)
    with pytest.raises(NotExported, match=f"{run.name}: named twice"):
        export([run, run], tmp_path / "new", ABOUT)


def test_what_fails_leaves_nothing(run: Run, tmp_path: Path) -> None:
    first = next(run.path.rglob("requests.csv"))
    first.write_bytes(b'a,b\n"1,2\n\xff')
    with pytest.raises(Exception, match=r"requests\.csv"):
        export([run], tmp_path / "set", ABOUT)
    first.write_text("stack,due_ns\nx,1\n")
    with pytest.raises(UnreadableFile, match="has a column stack"):
        export([run], tmp_path / "set", ABOUT)
    first.write_text("due_ns,outcome\n1,ok\nsoon,ok\n")
    with pytest.raises(UnreadableFile, match="data/quickstart/requests: not one table of all points"):
        export([run], tmp_path / "set", ABOUT)
    first.rename(first.with_name("points.csv"))
    with pytest.raises(UnreadableFile, match=r"called points\.csv"):
        export([run], tmp_path / "set", ABOUT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


@pytest.mark.parametrize("place", ["code/secret.py", "points/{point}/secret.csv"])
def test_a_link_out_of_the_run_takes_nothing_along(run: Run, tmp_path: Path, place: str) -> None:
    (tmp_path / "secret").write_text("a\nkey\n")
    point = next((run.path / "points").iterdir()).name
    (run.path / place.format(point=point)).symlink_to(tmp_path / "secret")
    with pytest.raises(Exception, match="leads out of"):
        export([run], tmp_path / "set", ABOUT)
    assert not (tmp_path / "set").exists()


def test_units_are_those_of_the_names() -> None:
    frame = pd.DataFrame(
        {
            "a_ms": [1.0],
            "rate_bps": [1],
            "share_of": ["x"],
            "latency_ms_total_p50": [1.0],
            "why_s": ["x"],
            "cpu_s_per_gbyte": [1.0],
            "n": [1],
            "flood_seconds": [1.0],
            "ns_ours": [2],
            "s_ours": [2],
        }
    )
    units = {one["name"]: one.get("unit") for one in tables.schema(frame)["fields"]}
    assert units == {
        "a_ms": "ms",
        "rate_bps": "bit/s",
        "share_of": None,
        "latency_ms_total_p50": "ms",
        "why_s": None,
        "cpu_s_per_gbyte": "s/GB",
        "n": None,
        "flood_seconds": "s",
        "ns_ours": "ns",
        "s_ours": None,
    }
    gaps = pd.DataFrame({"content_ok": [True, None, False], "why": ["x", None, "y"], "n": [1, None, 3]})
    assert [one["type"] for one in tables.schema(gaps)["fields"]] == ["boolean", "string", "number"]
