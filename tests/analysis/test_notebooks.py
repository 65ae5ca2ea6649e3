"""Every experiment has a notebook, and every notebook runs without a display on the results kept with the project."""

import json
import re
import shlex
import shutil
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest

from analysis import collected, notebooks
from analysis.load import UnreadableRun
from analysis.notebooks.tools import keep, run
from analysis.notebooks.tools.thin import thinned
from testbed.experiment import experiment_class, experiment_names, resolve
from tests.analysis.test_analysis import SUMMARY, write_run
from tests.analysis.test_collected import KERNEL

HEADINGS = [
    "What was reported", "How it was measured", "What was measured", "Why they differ", "What to try next",
]  # fmt: skip
OF_SOME = {"Latencies"}
BINARY = b"\xd4\xc3\xb2\xa1\xff"
COMMAND = re.compile(r"\./lab (run .*)")


def text_of(notebook: Any) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def shown(notebook: Any) -> str:
    """Every kind of data that the notebook's cells put out, and the text in it."""
    return "\n".join(f"{output.get('data', output)}" for cell in notebook.cells for output in cell.get("outputs", ()))


@pytest.mark.parametrize("name", experiment_names())
def test_every_experiment_has_a_notebook(name: str) -> None:
    assert name in notebooks.names(), "analysis/notebooks/__init__.py says how to add one"


@pytest.fixture(scope="module")
def executing(request: pytest.FixtureRequest) -> Iterator[dict[str, Future]]:
    """The notebooks that are asked for, two at a time: each waits for its kernel most of the time."""
    wanted = [item.callspec.params["name"] for item in request.session.items if "executing" in item.fixturenames]
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(executed, name) for name in wanted}


def executed(name: str) -> Any:
    notebook = run.read(name)
    run.execute(notebook, notebooks.HERE)
    return notebook


@pytest.mark.parametrize("name", notebooks.names())
def test_notebook_runs_on_the_results_kept_with_the_project(name: str, executing: dict[str, Future]) -> None:
    notebook = executing[name].result()
    headings = re.findall(r"^## (.*)", text_of(notebook), re.MULTILINE)
    assert [heading for heading in headings if heading not in OF_SOME] == HEADINGS
    out = shown(notebook)
    assert "image/png" in out, "its figure"
    assert "text/html" in out, "its table"
    assert "kept with the project" in out
    for fact in ("measured", "commit", "kernel", "processors", "scale"):
        assert f"| {fact} | " in out
    assert "'stderr'" not in out, "no warnings"


@pytest.mark.parametrize("name", notebooks.names())
def test_notebook_takes_results_of_one_stack(name: str, tmp_path: Path) -> None:
    """A user may run with --stacks: the last one alone, without what others are compared with."""
    kept = notebooks.open_run(name)
    shutil.copytree(kept.path, tmp_path / "run")
    alone = kept.points[kept.points["stack"] == kept.passed["stack"].iloc[-1]]
    alone.to_csv(tmp_path / "run" / "results.csv", index=False)
    run.evaluate(run.read(name, tmp_path / "run"))


@pytest.mark.parametrize("name", notebooks.names())
def test_what_a_notebook_tells_to_try_can_be_tried(name: str) -> None:
    commands = COMMAND.findall(text_of(run.read(name)))
    assert commands
    for command in commands:
        _, experiment, *words = shlex.split(command)
        options = list(zip(words[::2], words[1::2], strict=True))
        settings = [value for option, value in options if option == "--set"]
        resolve(experiment_class(experiment), dict(options).get("--scale"), settings)


@pytest.mark.parametrize("name", notebooks.names())
def test_what_is_kept_is_small_and_names_no_place_of_a_machine(name: str) -> None:
    keep.check(notebooks.KEPT / name)


def write_example(directory: Path, tail: str = "") -> None:
    directory.mkdir()
    cells = [
        '# %% tags=["parameters"]',
        "results = None",
        "# %%",
        "from analysis import notebooks",
        "run = notebooks.open_run('example', results)",
        "(run.path / 'points' / 'a' / 'frames.csv').read_text()",
        "(run.path / 'points' / 'a' / 'a.bin').read_bytes()",
        tail,
    ]
    (directory / "example.py").write_text("\n".join(cells))


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of an experiment whose notebook reads two of three raw files."""
    write_example(tmp_path / "notebooks")
    monkeypatch.setattr(notebooks, "HERE", tmp_path / "notebooks")
    monkeypatch.setattr(notebooks, "KEPT", tmp_path / "kept")
    results = tmp_path / "results"
    row = {"stack": "kernel-tcp", "repetition": 1, "outcome": "passed", "why": ""}
    session = {
        "began": "2026-01-01T00:00:00.000+00:00",
        "command_line": ["/home/me/lab", "run", "all", "--out", "/home/me/results", "--scale", "quick"],
        "kernel": "Linux 6.1.0 #1 SMP me@workstation",
        "cpu": {"model": "Example", "usable": [0, 1], "map": []},
        "hostname": "workstation",
    }
    calibration = [{"link": "a", "direction": "up", "asked_bps": 3, "measured_bps": bps, "ok": True} for bps in (1, 2)]
    path = write_run(
        results, "example", "fairness", {"rate": 1}, [row], scale="quick", outcome="passed", sessions=[{}, session],
        labs=[{"calibration": calibration[:1]}, {"calibration": calibration[1:]}],
        points={"a": SUMMARY | {"session": 1}},
        why=[f"a: {results}/example/0123456789ab/points/a/error.txt"],
    )  # fmt: skip
    raw = path / "points" / "a"
    raw.mkdir(parents=True)
    (raw / "frames.csv").write_text(f"# {path}/x /home/me/bin/python\n1\n")
    (raw / "a.bin").write_bytes(BINARY)
    (raw / "requests.csv").write_text("2\n")
    return results


def test_a_run_is_kept_with_what_its_notebook_reads(example: Path) -> None:
    keep.keep("example", example)
    kept = notebooks.KEPT / "example"
    manifest = json.loads((kept / "manifest.json").read_text())
    (session,) = manifest["sessions"]
    assert session["command_line"] == ["lab", "run", "all", "--scale", "quick"]
    assert session["kernel"] == "Linux 6.1.0"
    assert "hostname" not in session
    assert manifest["labs"] == [{"calibration": [{"link": "a", "direction": "up", "asked_bps": 3, "measured_bps": 2}]}]
    assert manifest["why"] == ["a: points/a/error.txt"]
    assert "points" not in manifest
    with zipfile.ZipFile(kept / "raw.zip") as archive:
        assert archive.namelist() == ["points/a/a.bin", "points/a/frames.csv"]
    opened = notebooks.open_run("example")
    assert (opened.path / "points/a/frames.csv").read_text() == "# x python\n1\n"
    assert (opened.path / "points/a/a.bin").read_bytes() == BINARY
    before = (kept / "raw.zip").read_bytes()
    keep.keep("example", example)
    assert (kept / "raw.zip").read_bytes() == before


def test_captures_are_kept_without_what_goes_on_in_between(tmp_path: Path) -> None:
    """What a figure tells of signals and of first data is the same; a transfer's thousands of segments are gone."""
    thin = shutil.copytree(KERNEL / "collected", tmp_path / "collected")
    for path in thin.glob("*.pcap*"):
        path.write_bytes(thinned(path))
    whole, kept = collected.load(KERNEL, "pcap"), collected.load(thin.parent, "pcap")
    assert len(kept) < len(whole) / 5
    signals = whole["mptcp"].str.contains("MP_CAPABLE|MP_JOIN|ADD_ADDR") | whole["flags"].str.contains("S|F|R")
    assert 0 < signals.sum() <= len(kept)
    rows = [set(frame.itertuples(index=False)) for frame in (whole[signals], kept, whole)]
    assert rows[0] <= rows[1] <= rows[2], "each as it was"
    stream = ["interface", "source", "destination"]
    first = [frame[frame["payload_bytes"] > 0].groupby(stream)["time_s"].min() for frame in (whole, kept)]
    assert first[0].equals(first[1])


def test_what_is_too_big_is_not_kept_and_what_was_kept_stays(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep.keep("example", example)
    monkeypatch.setattr(keep, "LIMIT_BYTES", 100)
    with pytest.raises(keep.NotKept, match=r"example: \d+ bytes; at most 100 are kept of a run"):
        keep.keep("example", example)
    assert [path.name for path in notebooks.KEPT.iterdir()] == ["example"]


@pytest.mark.parametrize("name", ["results.csv", "raw.zip"])
def test_a_place_in_what_is_kept_is_found(example: Path, name: str) -> None:
    keep.keep("example", example)
    kept = notebooks.KEPT / "example"
    if name == "raw.zip":
        with zipfile.ZipFile(kept / name, "a") as archive:
            archive.writestr("x", "see /home/me/x.csv")
    else:
        (kept / name).write_text("see /home/me/x.csv")
    with pytest.raises(keep.NotKept, match=r"names a place in a file system: /home/me/x\.csv"):
        keep.check(kept)


def test_notebooks_are_written_for_the_users_own_results(tmp_path: Path) -> None:
    shutil.copytree(notebooks.KEPT / "fairness", tmp_path / "fairness" / "0123456789ab")
    (path,) = run.run_on(tmp_path)
    assert path == tmp_path / "notebooks" / "fairness.ipynb"
    notebook = nbformat.read(path, 4)
    assert parameter_cell(notebook) == "results = '../fairness/0123456789ab'"
    assert "image/png" in shown(notebook)
    assert not keep.PLACES.search(path.read_text()), "it names no place of this machine"


def test_a_notebook_goes_on_in_another_place(tmp_path: Path) -> None:
    """Results and notebooks are copied together, to another machine or another user."""
    shutil.copytree(notebooks.KEPT / "fairness", tmp_path / "here" / "fairness" / "0123456789ab")
    list(run.run_on(tmp_path / "here"))
    there = (tmp_path / "here").rename(tmp_path / "there") / "notebooks"
    notebook = nbformat.read(there / "fairness.ipynb", 4)
    run.execute(notebook, there)
    assert "image/png" in shown(notebook)


def test_notebooks_of_the_kept_results_are_written_without_any_of_ones_own(tmp_path: Path) -> None:
    (path,) = run.run_on(tmp_path / "nothing", "fairness", kept=True)
    assert path == tmp_path / "nothing" / "kept" / "notebooks" / "fairness.ipynb"
    notebook = nbformat.read(path, 4)
    assert parameter_cell(notebook).startswith("results = None"), "the same everywhere"
    assert "kept with the project" in shown(notebook)
    assert not keep.PLACES.search(path.read_text())


def parameter_cell(notebook: Any) -> str:
    (cell,) = [cell for cell in notebook.cells if run.PARAMETERS in cell.metadata.get("tags", ())]
    return str(cell.source)


@pytest.mark.parametrize(
    ("outcome", "why"), [("incomplete", "was not finished"), ("failed", "has the outcome 'failed'; 'run' it again")]
)
def test_a_run_that_is_not_whole_is_not_kept(example: Path, outcome: str, why: str) -> None:
    path = example / "example" / "0123456789ab" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"outcome": outcome}))
    with pytest.raises(keep.NotKept, match=f"0123456789ab {why}"):
        keep.keep("example", example)


def test_what_no_notebook_reads_is_not_kept(example: Path) -> None:
    with pytest.raises(keep.NotKept, match="mine has no notebook"):
        keep.keep("mine", example)


def test_a_notebook_that_raises_is_written_and_named(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(notebooks.HERE)
    write_example(notebooks.HERE, tail="1 / 0")
    with pytest.raises(run.NotebookFailed, match=r"example\.ipynb: ZeroDivisionError: division by zero"):
        list(run.run_on(example))
    assert "ZeroDivisionError" in (example / "notebooks" / "example.ipynb").read_text()


def test_no_results_or_no_notebook_is_one_line(tmp_path: Path, example: Path) -> None:
    with pytest.raises(UnreadableRun, match="no results of an experiment with a notebook"):
        list(run.run_on(tmp_path / "nowhere"))
    with pytest.raises(UnreadableRun, match="no results of example; 'run' it first"):
        list(run.run_on(tmp_path / "nowhere", "example"))
    with pytest.raises(UnreadableRun, match="mine has no notebook"):
        list(run.run_on(example, "mine"))
