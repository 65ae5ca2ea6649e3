"""The one document of all results."""

import json
import re
from pathlib import Path

from analysis import origin
from analysis.load import find_runs, load_run
from analysis.notebooks.tools.keep import reduced
from analysis.report import build, latest
from tests.analysis.test_analysis import SUMMARY, write_run
from tests.analysis.test_experiment_figures import RUNS

SESSION = {
    "began": "2026-01-01T00:00:00.000+00:00",
    "command_line": ["testbed", "run", "all", "--scale", "quick"],
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "kernel": "Linux 6.1",
    "python": "3.11.7",
    "cpu": {"usable": [0, 1], "model": "Example"},
}
CALIBRATION = {
    "link": "path1", "direction": "client->server", "asked_bps": 50_000_000, "measured_bps": 49_934_000.0,
    "delivery": {"asked_ms": 10.0, "mean_ms": 10.05, "asked_loss": 0.01, "lost": 3, "sent": 400},
    "depth": {"asked_bytes": 100_000, "measured_bytes": 98_363},
}  # fmt: skip
METHOD = """First line,
and more of `code` & <other>.

    as    it stands

Second paragraph."""


def write_results(root: Path) -> None:
    for name, (parameters, points, _) in RUNS.items():
        stacks = list(dict.fromkeys(point["stack"] for point in points))
        failed = {**points[0], "repetition": 3, "outcome": "failed", "why": "a <bad> thing"}
        write_run(
            root, name.replace("_", "-"), name, parameters, [*points, failed], stacks=stacks, scale="quick",
            sessions=[SESSION], method=METHOD, limits="Two cores only.",
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
        "<p>First line, and more of <code>code</code> &amp; &lt;other&gt;.</p>", "<pre>as    it stands</pre>",
        "Two cores only.", "a &lt;bad&gt; thing (a.r3)", "1 failed", "commit: 0123456789",
    ):  # fmt: skip
        assert text in html
    assert "http" not in html
    assert paper.read_bytes().startswith(b"%PDF")


def test_what_gave_no_result_is_named(tmp_path: Path) -> None:
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


def test_every_chapter_says_when_and_where_it_was_measured(tmp_path: Path) -> None:
    """Not the day of writing alone: results of several days and machines may be in one report."""
    for name, day, model in (("fairness", "2026-01-01", "Example"), ("lossy_link", "2026-03-04", "Other")):
        parameters, points, _ = RUNS[name]
        session = {**SESSION, "began": f"{day}T00:00:00.000+00:00", "cpu": {"usable": [0, 1], "model": model}}
        write_run(tmp_path, name.replace("_", "-"), name, parameters, points, scale="quick", sessions=[session])
    html = build(find_runs(tmp_path), tmp_path / "report")[0].read_text()
    assert "measured, 2026-01-01 to 2026-03-04, written on 20" in " ".join(html.split())
    assert "Measured 2026-01-01 on 2 x Example, Linux 6.1." in html
    assert "Measured 2026-03-04 on 2 x Other, Linux 6.1." in html
    assert "<li>2 x Example, Linux 6.1</li>\n<li>2 x Other, Linux 6.1</li>" in html
    rows = re.findall(r'<td class="day">(.*?)</td><td>(.*?)</td>', html)
    assert rows == [("2026-01-01", "1"), ("2026-03-04", "2")]


def test_points_of_two_days_and_machines_name_both(tmp_path: Path) -> None:
    """A run that was gone on with elsewhere said of all its points that they were of the last day and machine."""
    parameters, points, _ = RUNS["fairness"]
    sessions = [
        SESSION
        | {"began": f"{day}T00:00:00.000+00:00", "cpu": {"usable": [0, 1], "model": model}, "git": {"commit": model}}
        for day, model in (("2026-01-01", "One"), ("2026-02-02", "Left"), ("2026-03-03", "Other"))
    ]
    made = {"x": SUMMARY, "y": SUMMARY | {"session": 2}}  # what the second one measured was measured anew
    path = write_run(tmp_path, "fairness", "fairness", parameters, points, sessions=sessions, points=made)
    facts = origin.environment(load_run(path))
    assert (facts["measured"], facts["commit"]) == ("2026-01-01 to 2026-03-03", "One; Other")
    assert facts["processors"] == "2 x One; 2 x Other"
    kept = reduced(json.loads((path / "manifest.json").read_text()))
    assert [session["began"][:10] for session in kept["sessions"]] == ["2026-01-01", "2026-03-03"]
    assert origin.machine(load_run(path)) == "2 x One; 2 x Other, Linux 6.1"


def test_links_are_asked_and_measured_each_in_a_column_with_its_unit(tmp_path: Path) -> None:
    parameters, points, _ = RUNS["fairness"]
    labs = [{"calibration": [CALIBRATION]}]
    write_run(tmp_path, "fairness", "fairness", parameters, points, scale="quick", sessions=[SESSION], labs=labs)
    html = build(find_runs(tmp_path), tmp_path / "report")[0].read_text()
    links = html.split("<h3>Links</h3>")[1].split("</table>")[0]
    above, headings = (re.findall(r"<th.*?>(.*?)</th>", row) for row in links.split("<tbody>")[0].split("</tr>")[:2])
    assert above == ["", "rate, Mbit/s", "delay, ms", "loss, %", "queue, kB"]
    assert headings == ["link", "direction", *["asked", "measured"] * 4]
    cells = re.findall(r"<td.*?>(.*?)</td>", links)
    assert cells == ["path1", "client-&gt;server", "50", "49.93", "10", "10.05", "1", "0.75", "100", "98.4"]
