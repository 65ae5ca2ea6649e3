"""Experiments, stacks and plug-ins of a user's own: found by file or class; what is wrong is said with its line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from analysis import figures, style
from analysis.load import load_run
from testbed import stacks
from testbed.cli import main
from testbed.cli.experiments import report
from testbed.errors import LabError
from testbed.experiment import experiment_class, resolve
from testbed.experiment.own import module_of
from testbed.input.plugins import exception_in
from testbed.runs.runner import Plan, Runner
from testbed.show.progress import Lines
from testbed.stacks.measure import Measurement
from tests.testbed.lab_run import ROOT
from tests.testbed.toy import Pretended

EXAMPLE = ROOT / "examples" / "downloads.py"
FIGURE = """
def draw(run):
    from matplotlib.figure import Figure
    figure = Figure()
    figure.subplots().set_title(f"mine, {len(run.passed)} points")
    return figure
"""


@pytest.fixture(autouse=True)
def _nothing_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a test imports from its folder is not there for the next one."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(figures, "_own", {})
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    yield
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{tmp_path}/"):
            del sys.modules[name]


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """The example, outside the repository."""
    return Path(shutil.copy(EXAMPLE, tmp_path))


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lab", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return run


def measure(path: Path, out: Path) -> Plan:
    """Run an experiment of one's own in no time."""
    experiment = resolve(experiment_class(str(path)), None, [])

    def run_point(bench: object, point: object) -> Measurement:
        return Measurement({"elapsed_s": float(point.repetition)}, [], {}, {}, {})  # type: ignore[attr-defined]

    experiment.run_point = run_point  # type: ignore[method-assign]
    plan = Plan(experiment, out)
    Runner(plan, Lines(), Pretended().environment).run()
    return plan


def test_an_experiment_is_found_by_its_file_and_by_its_class(downloads: Path, lab: Callable, tmp_path: Path) -> None:
    code, printed, error = lab("plan", str(downloads), "--out", str(tmp_path / "r"), "--json")
    assert (code, error) == (0, "")
    planned = json.loads(printed)
    assert (planned["experiment"], planned["points"]) == ("downloads", 12)
    assert planned["described"]["sizes_kb"] == {"value": "100,1000", "help": "sizes of the download, in kB"}
    again = json.loads(lab("plan", "downloads:Downloads", "--out", str(tmp_path / "r"), "--json")[1])
    assert again["directory"] == planned["directory"]


def test_its_results_are_drawn_in_general_or_as_its_file_says(downloads: Path, lab: Callable, tmp_path: Path) -> None:
    style.apply()
    run = load_run(measure(downloads, tmp_path / "r").directory.path)
    titles = [axes.get_title("left") for axes in figures.draw(run).axes]
    assert titles == ["Time of a download; dots: n = 3, |: mean"]
    assert [column.header for column in figures.table(run).columns] == ["stack", "size_kb", "elapsed_s", "n"]

    downloads.write_text(downloads.read_text() + FIGURE)
    del sys.modules["downloads"]
    code, printed, _ = lab("figures", str(downloads), "--out", str(tmp_path / "r"))
    assert (code, printed.count("figure: ")) == (0, 2)
    assert figures.draw(run).axes[0].get_title("left") == "mine, 12 points"
    assert lab("report", str(downloads), "--out", str(tmp_path / "r"))[0] == 0


def test_an_error_in_its_figure_is_told_with_its_line(downloads: Path, lab: Callable, tmp_path: Path) -> None:
    downloads.write_text(downloads.read_text() + "\n\ndef draw(run):\n    return run.nothing\n")
    measure(downloads, tmp_path / "r")
    code, _, error = lab("figures", str(downloads), "--out", str(tmp_path / "r"))
    line = downloads.read_text().count("\n")
    assert code == 2
    assert f"AttributeError: 'Run' object has no attribute 'nothing' ({downloads}:{line})" in error


def test_two_files_of_one_name_do_not_share_a_directory(downloads: Path, tmp_path: Path) -> None:
    measure(downloads, tmp_path / "r")
    other = tmp_path / "other" / "loads.py"
    other.parent.mkdir()
    other.write_text(downloads.read_text())
    with pytest.raises(LabError, match=rf"holds results of {downloads}, .* as {other}: give one of them another name"):
        measure(other, tmp_path / "r")


def test_the_name_of_a_folder_beside_the_runs_is_refused(downloads: Path, lab: Callable, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    for name in ("figures", "kept"):
        mine.write_text(downloads.read_text().replace('"downloads"', f'"{name}"'))
        sys.modules.pop("mine", None)
        for command in ("plan", "figures"):
            code, _, error = lab(command, str(mine), "--out", str(tmp_path / "r"))
            assert code == 2
            assert f"name='{name}' is a folder beside the runs; any other than figures, kept" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere' (FILE:1)"),
        ("x = 1\ny = x.z", "AttributeError: 'int' object has no attribute 'z' (FILE:2)"),
        ("def f(:", "SyntaxError: invalid syntax (FILE:1)"),
        ("import sys\nsys.exit(0)", "SystemExit: 0 (FILE:2)"),
        ("x = 1", "must define one subclass of Experiment, but has none"),
        (
            "from testbed.experiment import Experiment\nclass Mine(Experiment):\n    pass",
            "must define one subclass of Experiment, but has Mine lacks points, run_point",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong_one.py"
    path.write_text(text)
    with pytest.raises(LabError) as caught:
        experiment_class(str(path))
    assert caught.value.message == f"experiment '{path}': {message.replace('FILE', str(path))}"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"downloads"', '"fairness"'), "name 'fairness' is that of an experiment of the lab; choose another"),
        (('"downloads"', '"../up"'), "name '../up' must be of lower-case letters, digits, -, _ and ."),
        (("scales: ClassVar = ", "scale = "), "Downloads lacks scales"),
    ],
)
def test_what_it_lacks_is_said(downloads: Path, change: tuple[str, str], message: str) -> None:
    downloads.write_text(downloads.read_text().replace(*change))
    with pytest.raises(LabError, match=re.escape(message)):
        experiment_class(str(downloads))


def test_an_exception_while_it_is_planned_is_told_with_its_line(downloads: Path, lab: Callable) -> None:
    downloads.write_text(downloads.read_text().replace("numbers = range(1, ", "numbers = range(1, self.nothing + "))
    code, _, error = lab("plan", str(downloads))
    assert (code, error.count("\n")) == (2, 1)
    assert re.match(rf"lab: AttributeError: 'Downloads' object has no attribute 'nothing' \({downloads}:\d+\)", error)


@pytest.mark.root
def test_the_example_runs(downloads: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "testbed", "run", "./downloads.py", "--out", "r", "--stacks", "kernel-tcp",
         "--set", "sizes_kb=20", "--set", "repetitions=1"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=150,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "outcome: passed" in done.stdout
    assert len(list((tmp_path / "r" / "figures").iterdir())) == 2


# --- stacks and plug-ins -------------------------------------------------------------------------------------

PLUGINS = """
from mptcp_stack.congestion import CongestionControl
from mptcp_stack.mptcp.scheduler import Scheduler
from testbed.stacks.python_mptcp import PythonMptcp

class Unmade(Scheduler):
    def __init__(self):
        pass
    def select(self, subflows, burst_bytes):
        return None

class Half(CongestionControl):
    pass

class Bad(PythonMptcp):
    name, label, settings = "bad", "bad", ("scheduler=mine_plugins:Unmade",)

class Raising(PythonMptcp):
    def __init__(self, congestion):
        raise RuntimeError("by mistake")
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine_plugins.py"
    path.write_text(PLUGINS)
    (tmp_path / "mine_broken.py").write_text("x = 1\nx.nothing\n")
    sys.path.append(str(tmp_path))
    return path


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        ("python-mptcp+scheduler=foo", "stack python-mptcp: scheduler 'foo': not one of lowest-rtt, round-robin,"),
        ("python-mptcp+congestion=foo", "stack python-mptcp: congestion control 'foo': not one of reno, cubic,"),
        ("python-tcp@foo", "stack python-tcp: congestion control 'foo': not one of reno, cubic,"),
        ("python-mptcp+path_manager=foo", "stack python-mptcp: path manager 'foo': not one of default, fullmesh,"),
        ("kernel-mptcp@nothing", "stack kernel-mptcp: unknown congestion control 'nothing'; allowed: "),
        ("python-mptcp+scheduler=mine_plugins:Unmade", "TypeError: __init__ must take (self, traffic): .*(FILE:7)"),
        ("python-mptcp+congestion=mine_plugins:Half", "lacks increase of CongestionControl (FILE:12)"),
        ("python-mptcp+scheduler=mine_plugins:Half", "is not a Scheduler (FILE:12)"),
        ("python-mptcp+scheduler=mine_broken:X", "AttributeError: 'int' object has no attribute 'nothing' (.*:2)"),
        ("python-mptcp+scheduler=nowhere:X", "No module named 'nowhere' (is its directory in PYTHONPATH?)"),
        ("mine_plugins:Bad", "stack bad: scheduler 'mine_plugins:Unmade': TypeError: __init__ must take (self,"),
        ("mine_plugins:Raising", "stack 'mine_plugins:Raising': RuntimeError: by mistake (FILE:20)"),
        ("mine_plugins:Half", "stack 'mine_plugins:Half': Half is not a StackUnderTest (FILE:12)"),
        ("mine_broken:X", "stack 'mine_broken:X': AttributeError: 'int' object has no attribute 'nothing' (.*:2)"),
    ],
)
def test_what_is_wrong_with_a_stack_is_said_before_anything_runs(mine: Path, stack: str, message: str) -> None:
    with pytest.raises(LabError) as caught:
        stacks.check(stack)
    pattern = re.escape(message.replace("FILE", str(mine))).replace(r"\.\*", ".*")
    assert re.search(pattern, caught.value.message), caught.value.message
    assert "\n" not in caught.value.message


def test_the_exception_in_a_programs_output_is_found() -> None:
    group = (
        "  + Exception Group Traceback (most recent call last):\n"
        f'  |   File "{ROOT}/testbed/loadgen/client.py", line 3, in main\n'
        "  | ExceptionGroup: several (2 sub-exceptions)\n"
        "  +-+---------------- 1 ----------------\n"
        "    | Traceback (most recent call last):\n"
        '    |   File "/home/me/mine.py", line 12, in select\n'
        "    |     return subflows[0].nothing\n"
        f'    |   File "{ROOT}/mptcp_stack/stack.py", line 3, in main\n'
        "    | mine.Broken: no such thing\n"
        "    +------------------------------------\n"
    )
    assert exception_in(f"noise\n{group}") == "mine.Broken: no such thing (/home/me/mine.py:12)"
    assert exception_in("Traceback (most recent call last):\nValueError: x\n") == "ValueError: x"
    assert exception_in("all is well\nError: no\n") is None


@pytest.mark.parametrize("name", ["quickstart", "receive-algorithms"])
def test_an_experiment_of_the_lab_is_nobodys_own_be_it_a_file_or_a_package(name: str) -> None:
    assert module_of(experiment_class(name)) is None


def test_a_comparison_of_which_a_stack_failed_is_not_drawn(downloads: Path, tmp_path: Path) -> None:
    experiment = resolve(experiment_class(str(downloads)), None, [])

    def run_point(bench: object, point: object) -> Measurement:
        wrong = ["by mistake"] if point.stack == "python-mptcp" else []  # type: ignore[attr-defined]
        return Measurement({"elapsed_s": 1.0}, wrong, {}, {}, {})

    experiment.run_point = run_point  # type: ignore[method-assign]
    plan = Plan(experiment, tmp_path / "r")
    Runner(plan, Lines(), Pretended().environment).run()
    with pytest.raises(typer.Exit) as ended:
        report(plan, as_json=True)
    assert ended.value.exit_code == 1
    assert not (tmp_path / "r" / "figures").exists()
