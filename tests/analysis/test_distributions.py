"""Latencies as distributions, from raw files that are made up here."""

import json
import math
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from analysis import distributions, figures, notebooks
from analysis.load import Run, UnreadableRun, load_run
from analysis.notebooks.tools import keep
from tests.analysis.test_analysis import write_run

PARAMETERS = {"paths": 2, "rate": 50_000_000, "concurrency": 100}
STACKS = ("kernel-tcp", "python-mptcp")


def points() -> list[dict]:
    return [
        {"stack": stack, "repetition": repetition, "links": "equal", "size_bytes": 1000, "generator": "loadgen"}
        | {"outcome": "passed", "why": "", "requests_per_s": 100.0}
        for stack in STACKS
        for repetition in (1, 2)
    ]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two stacks, two repetitions of 1000 requests of 1, 2 ... 1000 ms, of which the last of ours fails."""
    run = load_run(write_run(tmp_path, "quickstart", "ab_microflows", PARAMETERS, points()))
    for row in run.points.itertuples():
        requests = pd.DataFrame({"due_ns": range(5, 1005), "start_ns": range(9, 1009), "connected_ns": 10})
        requests["end_ns"] = requests["due_ns"] + (requests.index + 1) * 1_000_000
        requests["outcome"] = ["ok"] * 999 + ["reset" if row.stack == "python-mptcp" else "ok"]
        run.point_directory(row).mkdir(parents=True)
        requests.sample(frac=1, random_state=1).to_csv(run.point_directory(row) / "requests.csv", index=False)
    return run


def test_every_request_is_in_it_from_when_it_was_due(run: Run) -> None:
    found = distributions.latencies(run)
    assert len(found) == 4000
    assert set(found["kind"]) == {"requests"}
    one = found[(found["stack"] == "kernel-tcp") & (found["repetition"] == 2)]
    assert sorted(one["latency_ms"]) == list(range(1, 1001))


def test_a_failed_request_is_longer_than_any_other(run: Run) -> None:
    found = distributions.quantiles(distributions.latencies(run), ["stack"], (0.5, 0.999, 1.0))
    assert found.set_index("stack").loc["kernel-tcp"].to_list() == [2000, 500, 999, 1000]
    assert found.set_index("stack").loc["python-mptcp"].to_list() == [2000, 500, 999, math.inf]
    ours = distributions.latencies(run).query("stack == 'python-mptcp'")
    assert distributions.shares(ours)["share"].max() == pytest.approx(0.999)


def test_what_is_thinned_has_the_same_shares_where_it_has_any(run: Run) -> None:
    found = distributions.latencies(run)
    few = distributions.thinned(found, 50)
    assert len(few) == 4 * 50 + 2, "and those that failed"
    assert few["count"].sum() == len(found)
    whole, thin = (distributions.shares(one[one["stack"] == "kernel-tcp"]) for one in (found, few))
    merged = thin.groupby("latency_ms").max().join(whole.groupby("latency_ms").max()["share"].rename("exact"))
    assert merged["share"].to_list() == pytest.approx(merged["exact"].to_list(), abs=0.002)


def test_thinning_makes_no_more_of_what_failed(run: Run) -> None:
    """One failure in a thousand was one in 49 in the curve of a run that had been thinned to 50."""
    ours = distributions.latencies(run).query("stack == 'python-mptcp'")
    for found in (ours, distributions.thinned(ours, 50), distributions.thinned(distributions.thinned(ours, 50), 10)):
        assert distributions.shares(found)["share"].max() == pytest.approx(0.999)
        assert distributions.quantiles(found, ["stack"], (0.999,))["p99.9"].to_list() == [999]
    endless = ours.assign(latency_ms=math.inf)
    assert distributions.thinned(endless, 50)["count"].to_list() == [1000, 1000]


def test_latencies_that_are_kept_stand_in_for_raw_files(run: Run, tmp_path: Path) -> None:
    few = distributions.thinned(distributions.latencies(run))
    kept = load_run(write_run(tmp_path / "kept", "quickstart", "ab_microflows", PARAMETERS, points()))
    assert distributions.latencies(kept).empty
    assert figures.draw_latencies(kept) is None
    few.to_csv(kept.path / distributions.KEPT, index=False)
    pd.testing.assert_frame_equal(distributions.latencies(kept), few)


def test_frames_are_from_when_they_were_due(tmp_path: Path) -> None:
    rows = [{"stack": "kernel-tcp", "repetition": 1, "load": "call", "outcome": "passed", "why": ""}]
    run = load_run(write_run(tmp_path, "calls", "transfer", {}, rows))
    directory = run.point_directory(next(run.points.itertuples()))
    directory.mkdir(parents=True)
    for name, delay_ns in (("upload", 20_000_000), ("download", 30_000_000)):
        text = f"number,size_bytes,due_ns,received_ns\n0,160,1000,{1000 + delay_ns}\n"
        (directory / f"frames-{name}.csv").write_text(text)
    found = distributions.latencies(run)
    assert found[["kind", "latency_ms"]].values.tolist() == [["upload", 20.0], ["download", 30.0]]


def test_a_curve_a_stack_and_how_many_requests_are_behind_it(run: Run, tmp_path: Path) -> None:
    drawn = figures.draw_latencies(run)
    assert drawn is not None
    (panel,) = drawn.axes
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["kernel TCP", "Python MPTCP"]
    assert len(panel.lines) == 2 * (2 + 1)  # each repetition, and all together
    assert panel.get_title(loc="left") == "1 kB, 2 x 50 Mbit/s; n = 2,000"
    names = [path.name for path in figures.save(run, tmp_path / "figures")]
    assert names[2:] == ["quickstart-0123456789ab-latencies.png", "quickstart-0123456789ab-latencies.pdf"]


def test_an_axis_of_less_than_two_powers_of_ten_has_numbers_between(run: Run) -> None:
    """From 46 to 575 ms there was one number, 100."""
    found = distributions.latencies(run).query("46 <= latency_ms <= 575")
    drawn = distributions.draw(run, found=found)
    assert drawn is not None
    axis = drawn.axes[-1].xaxis
    low, high = axis.get_view_interval()
    assert [place for place in axis.get_majorticklocs() if low <= place <= high] == [50, 100, 200, 500]


def test_a_torn_raw_file_is_named(run: Run) -> None:
    path = run.point_directory(next(run.points.itertuples())) / "requests.csv"
    path.write_text("due_ns,end_ns\n1,2\n")
    with pytest.raises(UnreadableRun, match=r"requests\.csv: .*outcome"):
        distributions.latencies(run)


def test_a_kept_run_has_its_latencies_and_not_the_raw_files(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    session = {"began": "2026-01-01T00:00:00.000+00:00", "cpu": {"model": "Example", "usable": [0]}}
    manifest = json.loads((run.path / "manifest.json").read_text()) | {"outcome": "passed", "sessions": [session]}
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(notebooks, "KEPT", run.path.parents[1] / "kept")
    keep.keep("quickstart", run.path)
    with zipfile.ZipFile(notebooks.KEPT / "quickstart" / "raw.zip") as archive:
        assert archive.namelist() == [distributions.KEPT]
    kept, by = notebooks.open_run("quickstart"), ["stack", "repetition"]
    few, all_of_them = (distributions.latencies(one) for one in (kept, run))
    assert len(few) < len(all_of_them) / 4
    one, other = (distributions.quantiles(found, by, (0.5, 0.99)) for found in (few, all_of_them))
    pd.testing.assert_frame_equal(one, other, rtol=0.02)
