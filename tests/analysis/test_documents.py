"""What documents say of measurements is what the results say that are kept with the project."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis import documents, figures, notebooks, origin
from testbed.experiment import experiment_names
from tests.testbed.test_cli import Lab, lab, quickstart_results

__all__ = ["lab"]

PROJECT = notebooks.PROJECT
TALK = PROJECT / "docs" / "talk.md"
NOTED = re.compile(r"[Nn]oted \d{4}-\d\d-\d\d at [0-9a-f]{7}")
"""Of a number that no kept result has: the day, and the commit at which it was written down."""
NUMBER = re.compile(r"(?<![\w.§-])\d[\d.,]*(?![\w-])")
NO_RESULT = re.compile(
    r"```.*?```|`[^`]*`|\]\([^)]*\)|RFC \d+( sections? [\d., and]+)?|^#.*$", re.DOTALL | re.MULTILINE
)
"""Where numbers are not measured ones: programs, names, links, sections, headings."""


@pytest.mark.parametrize("path", [*documents.documents(), *documents.pictures()], ids=lambda path: path.name)
def test_documents_and_their_figures_are_those_of_the_kept_results(path: Path) -> None:
    assert documents.renewed(path) is None, "./lab docs writes it"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a document about one experiment, whose results are kept."""
    shutil.copytree(notebooks.KEPT / "fairness", tmp_path / "kept" / "fairness")
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    (tmp_path / "README.md").write_text("# Mine\n\nIn a line: <!-- kept: run fairness --><!-- /kept -->; that is it.\n")
    (tmp_path / "docs" / "one.md").write_text("Before\n\n<!-- kept: table fairness -->\n<!-- /kept -->\n\nAfter\n")
    monkeypatch.setattr(notebooks, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(documents, "PROJECT", tmp_path)
    documents.write()
    return tmp_path


@pytest.fixture
def picture(project: Path) -> Path:
    """A figure in that project's documents, of another experiment."""
    shutil.copytree(PROJECT / "analysis" / "notebooks" / "results" / "quickstart", project / "kept" / "quickstart")
    path = project / "docs" / "figures" / "quickstart.png"
    path.touch()
    documents.write()
    return path


def measure_otherwise(project: Path, name: str, **columns: object) -> None:
    """The same in all rows, however often it was measured."""
    path = project / "kept" / name / "results.csv"
    pd.read_csv(path).assign(**columns).to_csv(path, index=False)


def test_a_document_follows_its_results_and_keeps_what_is_written_by_hand(project: Path) -> None:
    document = project / "docs" / "one.md"
    before = document.read_text()
    assert before.startswith("Before\n\n<!-- kept: table fairness -->\nMeasured 20")
    assert before.endswith("\n<!-- /kept -->\n\nAfter\n")
    assert "| Python MPTCP, lia |" in before
    assert documents.differing() == []
    measure_otherwise(project, "fairness", mptcp_bps=12_345_678)
    assert documents.differing() == [document]
    assert documents.write() == [document]
    assert "12.35" in document.read_text()
    assert documents.by_hand(document.read_text()) == documents.by_hand(before)
    assert documents.differing() == []


def test_a_number_that_was_changed_by_hand_is_found(project: Path) -> None:
    document = project / "docs" / "one.md"
    document.write_text(document.read_text().replace("| Python MPTCP, lia |", "| Python MPTCP, lia | 9.99 |"))
    assert documents.differing() == [document]


def test_what_a_notebook_says_is_of_a_build(project: Path) -> None:
    document = project / "docs" / "two.md"
    document.write_text("<!-- kept: said fairness -->\n<!-- /kept -->\n")
    for build, text in (("pure", "pure Python"), ("compiled", "compiled")):
        measure_otherwise(project, "fairness", build=build)
        documents.write()
        assert document.read_text().endswith(f".\n\nour stack: {text}.\n<!-- /kept -->\n")


def test_a_block_within_a_line_stays_there(project: Path) -> None:
    lines = (project / "README.md").read_text().splitlines()
    assert len(lines) == 3
    assert re.search(
        r"<!-- kept: run fairness -->Measured .*, scale quick, .* passed: `.*`<!-- /kept -->; that", lines[2]
    )


def test_a_figure_is_drawn_again_when_what_it_shows_has_changed(project: Path, picture: Path) -> None:
    assert documents.differing() == []
    measure_otherwise(project, "quickstart", requests_per_s=1234.5)
    assert documents.differing() == [picture]
    before = picture.read_bytes()
    assert documents.write() == [picture]
    assert picture.read_bytes() != before
    picture.write_bytes(b"not a picture")
    assert documents.differing() == [picture]


def test_what_a_figure_shows_is_not_how_it_looks() -> None:
    def drawn(value: float, word: str, color: str) -> Figure:
        figure = Figure(figsize=(3, 2) if color == "red" else (4, 3))
        axes = figure.subplots()
        axes.plot([1, 2], [1, value], color=color, label=word)
        axes.bar([1], [value], color=color)
        axes.legend()
        return figure

    shown = documents.shows(drawn(2, "a", "red"))
    assert documents.shows(drawn(2, "a", "blue")) == shown
    assert documents.shows(drawn(2.01, "a", "red")) != shown
    assert documents.shows(drawn(2, "b", "red")) != shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "<!-- kept: table fairnes -->\n<!-- /kept -->",
            "'kept: table fairnes': needs one of table, run, said, and an",
        ),
        (
            "<!-- kept: chart fairness -->\n<!-- /kept -->",
            "'kept: chart fairness': needs one of table, run, said, and an",
        ),
        ("<!-- kept: run fairness -->", "a comment 'kept: ...' has no '/kept' before the next"),
        (
            "<!-- kept: run fairness -->\n<!-- kept: run fairness --><!-- /kept -->",
            "a comment 'kept: ...' has no '/kept' before the next",
        ),
    ],
)
def test_what_a_document_cannot_have_is_one_line(project: Path, text: str, why: str) -> None:
    document = project / "docs" / "two.md"
    document.write_text(text)
    with pytest.raises(documents.WrongDocument, match=re.escape(f"{document}: {why}")):
        documents.write()


def sections(path: Path) -> Iterator[tuple[str, str]]:
    """The headings of a document, each with the text below it that is written by hand."""
    heading = ""
    text: list[str] = []
    fenced = False
    for line in documents.by_hand(path.read_text()).splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            yield heading, "\n".join(text)
            heading, text = line, []
        else:
            text.append(line)
    yield heading, "\n".join(text)


def test_what_was_measured_is_kept_or_says_when_and_how() -> None:
    """By hand there are no numbers in docs/measured.md but those with their day, commit and command."""
    for heading, text in sections(PROJECT / "docs" / "measured.md"):
        numbers = NUMBER.findall(NO_RESULT.sub("", re.sub(r"(Linux|Debian|CPython) [\d.]+", "", text)))
        if numbers:
            assert NOTED.search(text), f"{heading}: {numbers}"
            assert "`" in text or "by programs that were not kept" in text, f"{heading}: with which command?"


@pytest.mark.parametrize("path", documents.documents(), ids=lambda path: path.name)
def test_a_mean_and_its_spread_say_when_they_were_measured(path: Path) -> None:
    for heading, text in sections(path):
        if re.search(r"± ?\d", text):
            assert NOTED.search(text), f"{heading}: keep a result of it, or say when, at which commit and how"


def test_every_kept_result_has_a_table_in_a_document() -> None:
    text = "".join(path.read_text() for path in documents.documents())
    assert [name for name in notebooks.kept_names() if f"<!-- kept: table {name} -->" not in text] == []


def test_every_picture_is_drawn_from_what_is_kept() -> None:
    assert set((PROJECT / "docs" / "figures").glob("*.png")) == set(documents.pictures())


def test_the_table_of_interoperability_adds_up_to_that_of_the_cells() -> None:
    cells = (PROJECT / "docs" / "interop-table.md").read_text()
    found = re.match(r".*: (\d+) cells, (\d+) passed, 0 failed, (\d+) unsupported", cells)
    assert found is not None
    whole, passed, cannot = map(int, found.groups())
    assert (cells.count("| pass "), cells.count("| no ")) == (passed, cannot)
    page = (PROJECT / "docs" / "interop.md").read_text()
    counts = [tuple(map(int, pair)) for pair in re.findall(r"\| (\d+) of (\d+)", page)]
    assert sum(count for count, _ in counts) == passed
    assert "| version 0 | 6824 | not in Linux" in page, "without a count"
    assert sum(of for _, of in counts) == whole - _version_0(cells)
    assert f"{passed} of {whole} pass, none fails" in page
    assert f"Why {cannot} cannot be" in page
    readme = " ".join((PROJECT / "README.md").read_text().split())
    assert f"of {whole} cells of feature, role and IP version" in readme
    assert f"{passed} pass, none fails, and {cannot} cannot be" in readme


def _version_0(cells: str) -> int:
    (row,) = (row for row in cells.splitlines() if "(`version-0`)" in row)
    return row.count("| no ")


@pytest.mark.parametrize("name", ["syn-flood", "dss-checksum", "ab-microflows"])
def test_numbers_at_logarithmic_axes_are_no_formulas(name: str) -> None:
    """Formulas are switched off, as names may have dollar signs: 10^2 would stand there as it is marked up."""
    (run,) = notebooks.kept_runs(name)
    figure = figures.draw(run)
    figure.draw_without_rendering()
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    assert "log" in {axis.get_scale() for axis in axes}
    assert [text.get_text() for axis in axes for text in axis.get_ticklabels("both") if "$" in text.get_text()] == []


@pytest.mark.parametrize(
    ("given", "again"),
    [
        ("keep fairness --set seconds=5", "sudo ./lab run fairness --set seconds=5"),
        ("keep all --scale paper", "sudo ./lab run fairness --scale paper"),
        ("run all", "sudo ./lab run fairness"),
    ],
)
def test_what_keep_measured_is_measured_again_by_run(given: str, again: str) -> None:
    (run,) = notebooks.kept_runs("fairness")
    run.manifest["sessions"] = [{**run.manifest["sessions"][-1], "command_line": ["lab", *given.split()]}]
    assert origin.command(run) == again


# --- docs/talk.md ---


def test_the_talk_has_every_row_and_reading() -> None:
    found = re.findall(r"^### ([SR]\d+): ", TALK.read_text(), re.MULTILINE)
    assert found == [*(f"S{number}" for number in range(1, 15)), *(f"R{number}" for number in range(1, 5))]


def test_every_name_in_the_talk_exists() -> None:
    """Files and folders, tests in them, experiments, results; what stands there as code is one of these."""
    names = set(re.findall(r"`([^`\n]+)`", documents.by_hand(TALK.read_text())))
    for name in sorted(names):
        command = re.fullmatch(r"(sudo )?\./lab (\w+)( [^<]*)?", name)
        if command:
            words = (command[3] or "").split()
            assert command[2] in {"run", "test", "figures", "report", "docs", "interop", "show"}, name
            if command[2] == "run":
                assert words[0] in experiment_names(), name
        elif "/" in name or name in ("Vagrantfile", "pyproject.toml"):
            path, _, test = name.partition("::")
            assert (PROJECT / path).exists(), name
            assert not test or f"def {test}(" in (PROJECT / path).read_text(), name
        else:
            assert name in ("dsn-64", "dsn-32", "closing", "--scale paper", "vagrant up"), name


def test_every_row_of_the_talk_is_shown_or_says_that_it_is_not() -> None:
    for heading, text in sections(TALK):
        if heading.startswith("### "):
            assert "- shown by `" in text or "**Not there yet**" in text, heading
    for name in re.findall(r"`sudo \./lab run ([\w-]+)`", TALK.read_text()):
        assert (notebooks.KEPT / name / notebooks.MANIFEST).exists(), name
        assert f"<!-- kept: run {name} -->" in TALK.read_text(), name


# --- the commands ---


def test_kept_results_are_looked_at_without_any_of_ones_own(lab: Lab, tmp_path: Path) -> None:
    done = lab("figures", "fairness", "--kept", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(f"figure: {tmp_path}/out/kept/figures/fairness-") for line in done.stdout.splitlines())
    assert not (notebooks.KEPT / "figures").exists()
    refused = lab("figures", "nothing", "--kept")
    assert refused.returncode == 2
    assert refused.stderr.startswith("lab: unknown experiment 'nothing'")


def test_a_run_is_kept_and_the_documents_follow(lab: Lab, project: Path, picture: Path) -> None:
    """The command measures what is to be measured (nothing here), reduces the run, and writes the documents."""
    results = project / "results"
    quickstart_results(results, "passed")
    before = json.loads((project / "kept" / "quickstart" / "manifest.json").read_text())
    done = lab("keep", "quickstart", "--out", str(results))
    assert done.returncode == 0, done.stderr
    assert f"written: {picture}" in done.stdout
    after = json.loads((project / "kept" / "quickstart" / "manifest.json").read_text())
    assert after["sessions"][-1]["began"] > before["sessions"][-1]["began"]
    assert documents.differing() == []
    assert lab("docs", "--check").returncode == 0
    measure_otherwise(project, "fairness", mptcp_bps=12_345_678)
    checked = lab("docs", "--check")
    assert checked.returncode == 1
    assert checked.stdout == f"differs: {project}/docs/one.md\n"
    assert lab("docs").stdout == f"written: {project}/docs/one.md\n"


def test_a_finished_run_is_kept_without_measuring(lab: Lab, project: Path) -> None:
    shutil.copytree(project / "kept" / "fairness", project / "results" / "fairness" / "0123456789ab")
    measure_otherwise(project, "fairness", mptcp_bps=12_345_678)
    documents.write()
    done = lab("keep", "all", "--from", str(project / "results"))
    assert done.returncode == 0, done.stderr
    assert "fairness" in done.stdout
    assert "12.35" not in (project / "docs" / "one.md").read_text()


def test_a_finished_run_is_taken_as_it_is(lab: Lab, project: Path) -> None:
    done = lab("keep", "fairness", "--from", str(project / "results"), "--set", "rate=1 Mbit/s")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--set" in done.stderr


def test_a_run_that_failed_is_not_kept(lab: Lab, project: Path) -> None:
    quickstart_results(project / "results", "failed")
    done = lab("keep", "quickstart", "--from", str(project / "results"))
    assert done.returncode == 2
    assert "no point of quickstart that passed" in done.stderr
    assert not (project / "kept" / "quickstart").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("keep quickstrt", "unknown experiment 'quickstrt', did you mean quickstart? allowed: "),
        ("keep all --set seconds=1", "keep all: --set and --stacks are for one experiment"),
        ("keep fairness --from nowhere", "nowhere: no results of fairness; 'run' it first"),
        ("keep all --from nowhere", "nowhere: no results of an experiment with a notebook"),
    ],
)
def test_what_cannot_be_kept_is_one_line(lab: Lab, arguments: str, line: str) -> None:
    done = lab(*arguments.split())
    assert done.returncode == 2
    assert done.stderr.startswith(f"lab: {line}")
    assert done.stderr.count("\n") == 1
