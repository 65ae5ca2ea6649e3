"""The one document of all results."""

from pathlib import Path

from analysis.load import find_runs
from analysis.report import build, latest
from tests.analysis.test_analysis import write_run
from tests.analysis.test_experiment_figures import RUNS

SESSION = {
    "began": "2026-01-01T00:00:00.000+00:00",
    "command_line": ["testbed", "run", "all", "--scale", "quick"],
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "kernel": "Linux 6.1",
    "python": "3.11.7",
    "cpu": {"usable": [0, 1], "model": "Example"},
}
CALIBRATION = {"link": "path1", "direction": "client->server", "text": "asked 50.0 Mbit/s, measured 49.9"}


def write_results(root: Path) -> None:
    for name, (parameters, points, _) in RUNS.items():
        stacks = list(dict.fromkeys(point["stack"] for point in points))
        failed = {**points[0], "repetition": 3, "outcome": "failed", "why": "a <bad> thing"}
        write_run(
            root, name.replace("_", "-"), name, parameters, [*points, failed], stacks=stacks, scale="quick",
            sessions=[SESSION], method="First line,\nand more.\n\nSecond paragraph.", limits="Two cores only.",
            labs=[{"calibration": [CALIBRATION]}], why=["a.r3: a <bad> thing"],
        )  # fmt: skip


def test_every_experiment_has_its_chapter(tmp_path: Path) -> None:
    write_results(tmp_path)
    page, paper = build(find_runs(tmp_path), tmp_path / "report")
    html = page.read_text()
    for name in RUNS:
        assert f'<section id="{name.replace("_", "-")}">' in html
        assert f"sudo ./lab run {name.replace('_', '-')} --scale quick" in html
    assert html.count("data:image/svg+xml") == len(RUNS)
    for text in (
        "<p>First line, and more.</p>", "Two cores only.", "asked 50.0 Mbit/s", "a &lt;bad&gt; thing (a.r3)",
        "1 failed", "commit: 0123456789",
    ):  # fmt: skip
        assert text in html
    assert "http" not in html
    assert paper.read_bytes().startswith(b"%PDF")


def test_what_gave_no_result_is_named(tmp_path: Path) -> None:
    write_results(tmp_path)
    row = {"stack": "kernel-mptcp", "repetition": 1, "outcome": "unsupported", "why": "no MPTCP here"}
    write_run(tmp_path, "lost", "fairness", {}, [row], scale="quick", why=["a.r1: no MPTCP here"])
    html = build(find_runs(tmp_path), tmp_path / "report")[0].read_text()
    assert "no point passed: a.r1: no MPTCP here" in html


def test_a_run_at_paper_scale_goes_before_a_later_quick_one(tmp_path: Path) -> None:
    for scale, day in (("paper", "01"), ("quick", "02")):
        parameters, points, _ = RUNS["fairness"]
        session = {**SESSION, "began": f"2026-01-{day}T00:00:00.000+00:00"}
        write_run(tmp_path / scale, "fairness", "fairness", parameters, points, scale=scale, sessions=[session])
    runs = [run for scale in ("paper", "quick") for run in find_runs(tmp_path / scale)]
    assert [run.manifest["scale"] for run in latest(runs)] == ["paper"]
