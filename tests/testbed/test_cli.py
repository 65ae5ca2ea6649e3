import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from testbed.cli import main
from testbed.cli.experiments import report, run
from testbed.errors import LabError, Unsupported
from testbed.experiment import experiment_class, experiment_names, resolve
from testbed.runs.results import FAILED, PASSED, UNSUPPORTED
from testbed.runs.runner import Plan, Runner
from testbed.show.progress import Lines
from testbed.stacks.measure import Measurement
from tests.testbed.toy import Pretended

PROJECT = Path(__file__).resolve().parents[2]
KERNEL = "tests/analysis/data/collected/kernel-mptcp"
Lab = Callable[..., "Done"]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command line, run in this process: it imports pandas and its like once for all tests."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["lab", *arguments])
        monkeypatch.chdir(PROJECT)
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("run quickstrt", "unknown experiment 'quickstrt', did you mean quickstart? allowed: ab-microflows,"),
        ("plan nothing", "unknown experiment 'nothing'; allowed: ab-microflows, "),
        ("figures nothing", "unknown experiment 'nothing'; allowed: ab-microflows, "),
        ("run quickstart --scale huge", "--scale: unknown scale 'huge'; allowed: quick"),
        ("run quickstart --stacks kernel-tcp,tpc", "unknown stack 'tpc'"),
        ("run quickstart --set colour=red", "--set: unknown parameter 'colour'; allowed: repetitions, seed,"),
        ("run quickstart --set paths", "--set paths: must be key=value"),
        ("run quickstart --set paths=many", "--set: paths: input should be a valid integer"),
        ("run quickstart --set rate=-1", '--set: rate: must be positive, e.g. "50 Mbit/s"'),
        ("run quickstart --set sizes_bytes=10,0", "--set: sizes_bytes[1]: input should be greater than 0"),
        ("bench --set seconds=0", "--set: seconds: input should be greater than 0"),
        ("calibrate one-path", "unknown topology 'one-path'"),
        ("shell two-paths --set speed=1", "topologies/two-paths.yaml.j2: unknown parameter 'speed'"),
        ("notebooks nothing", "unknown experiment 'nothing'; allowed: ab-microflows, "),
        ("notebooks --out nowhere", "nowhere: no results of an experiment with a notebook; 'run' one first"),
        ("figures --out nowhere", "nowhere: no results; 'run' an experiment first"),
        ("why", "why takes captures, or --here for this host"),
        ("why --here README.md", "why takes captures, or --here for this host"),
        ("why README.md --to 192.0.2.1", "--to: goes with --here"),
        ("why --here --to nowhere", "--to: 'nowhere' is no IP address"),
        ("why nothing.pcap", "nothing.pcap: not a capture file (No such file or directory)"),
        ("why README.md", "README.md: not a capture file (neither pcap nor pcapng)"),
        ("why docs", "docs: nothing was collected here; run with --collect pcap or events"),
        ("timesequence nothing.pcap", "nothing.pcap: not a capture file (No such file or directory)"),
        ("timesequence README.md", "README.md: not a capture file (neither pcap nor pcapng)"),
        ("timesequence docs", "docs: nothing was collected here; run with --collect pcap or events"),
        ("timesequence docs --sender me", "--sender: unknown sender 'me'; allowed: client, server"),
        (f"timesequence {KERNEL} --connection 2", "no connection 2; there are 1 (0xf0698698, 0x0fb11c68)"),
        (
            f"timesequence {KERNEL} --host router",
            f"{KERNEL}/collected: no captures of host 'router'; there are client,",
        ),
        (
            f"timesequence {KERNEL} --collector events",
            f"{KERNEL}/collected/collectors.json: collector events left no files:",
        ),
        (f"timesequence {KERNEL} --from 9", "connection 1: the server sent no data that are in the source and time"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(lab: Lab, arguments: str, line: str) -> None:
    done = lab(*arguments.split())
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"lab: {line}")
    assert done.stderr.count("\n") == 1


def test_a_run_says_why_its_points_failed(lab: Lab) -> None:
    done = lab("why", str(PROJECT / "analysis/notebooks/results/quickstart"))
    assert done.returncode == 0
    assert done.stderr.startswith("lab: there are no captures")
    lines = done.stdout.splitlines()
    assert len(lines) > 10
    assert all(": passed" in line for line in lines)
    documents = json.loads(lab("why", str(PROJECT / "analysis/notebooks/results/quickstart"), "--json").stdout)
    assert [one["point"] for one in documents] == [line.partition(": ")[0] for line in lines]


def test_packets_say_why_a_path_carries_nothing(lab: Lab) -> None:
    done = lab("why", KERNEL)
    assert "  subflow 10.0.2.1:53505 - 10.0.2.2:5001: 0 bytes there, 0 back" in done.stdout.splitlines()
    assert "nothing was sent on subflow 10.0.2.1:53505" in done.stdout
    (connection,) = json.loads(lab("why", KERNEL, "--json").stdout)["connections"]
    assert [finding["cause"] for finding in connection["findings"]] == ["not used"]


def test_help_is_quick_and_documents_exit_codes() -> None:
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)  # of the processor: others may use the machine, too
        done = subprocess.run(
            [sys.executable, "-m", "testbed", "--help"], cwd=PROJECT, capture_output=True, text=True, timeout=60
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert done.returncode == 0
    assert "Exit codes: 0" in done.stdout
    assert min(times) < 0.6


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, testbed.cli; print(*{'pandas', 'matplotlib', 'pydantic', 'mininet'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_every_experiment_is_listed_and_whole(lab: Lab) -> None:
    listed = json.loads(lab("list", "--json").stdout)
    assert [entry["name"] for entry in listed] == experiment_names()
    for name in experiment_names():
        found = experiment_class(name)
        for scale in found.scales:
            points = resolve(found, scale, []).points(found.stacks)
            assert len({point.key for point in points}) == len(points) > 0


def test_plan_shows_what_would_be_measured(lab: Lab, tmp_path: Path) -> None:
    plan = json.loads(lab("plan", "quickstart", "--out", str(tmp_path), "--set", "repetitions=1", "--json").stdout)
    assert plan["parameters"]["repetitions"] == 1
    assert plan["points"] == len(plan["pending"]) == 5 * 3 + 3 * 2
    assert not list(tmp_path.iterdir()), "planning writes nothing"


def test_plan_names_its_collectors_and_refuses_unknown_ones(lab: Lab, tmp_path: Path) -> None:
    plan = json.loads(lab("plan", "quickstart", "--out", str(tmp_path), "--collect", "cpu,pcap", "--json").stdout)
    assert plan["collectors"] == ["cpu", "pcap"]
    refused = lab("plan", "quickstart", "--collect", "gpu")
    assert refused.returncode == 2
    assert refused.stderr.startswith("lab: unknown collector 'gpu', did you mean cpu? allowed: cpu, events,")


def quickstart_results(root: Path, outcome: str) -> None:
    """Write results of a whole quickstart run, measured in no time."""
    experiment = resolve(experiment_class("quickstart"), None, [])

    def measure(bench: object, point: object) -> Measurement:
        if outcome == UNSUPPORTED:
            raise Unsupported("nothing works here")
        result = {"requests_per_s": 100.0 + point.repetition, "failed": 0}  # type: ignore[attr-defined]
        return Measurement(result, ["bytes were lost"] if outcome == FAILED else [], {}, {}, {})

    experiment.run_point = measure  # type: ignore[method-assign]
    Runner(Plan(experiment, root), Lines(), Pretended().environment).run()


def test_run_that_is_finished_needs_no_lab_and_shows_everything(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quickstart_results(tmp_path, PASSED)
    capsys.readouterr()
    done = lab("run", "quickstart", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "reusing 63 of 63 points" in done.stderr
    for text in ("kernel TCP", "Python MPTCP", "102.0 ± 1.0", "300 kB", "outcome: passed"):
        assert text in done.stdout
    assert sorted(path.suffix for path in (tmp_path / "figures").iterdir()) == [".pdf", ".png"]

    document = json.loads(lab("run", "quickstart", "--out", str(tmp_path), "--json").stdout)
    assert document["outcome"] == "passed"
    assert len(document["points"]) == 63
    assert all(Path(path).exists() for path in document["figures"])

    drawn = lab("figures", "quickstart", "--out", str(tmp_path))
    assert drawn.returncode == 0
    assert drawn.stdout.count("figure: ") == 2


@pytest.mark.parametrize(
    ("outcome", "code", "why"),
    [(FAILED, 1, "r1: failed: bytes were lost"), (UNSUPPORTED, 3, "r1: unsupported: nothing works here")],
)
def test_outcome_is_the_exit_code_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], outcome: str, code: int, why: str
) -> None:
    quickstart_results(tmp_path, outcome)
    plan = Plan(resolve(experiment_class("quickstart"), None, []), tmp_path)
    with pytest.raises(typer.Exit) as ended:
        report(plan, as_json=False)
    assert ended.value.exit_code == code
    printed = capsys.readouterr().out
    assert why in " ".join(printed.split())  # long lines are broken
    assert printed.endswith(f"outcome: {outcome}\n")


def test_running_all_goes_on_whatever_happens_and_says_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fates: dict[str, list[BaseException]] = {
        "ab-microflows": [LabError("no tc here", 3)],
        "bulk-veth": [ValueError("a mistake")],
        "fairness": [typer.Exit(1)],
    }
    ran = []

    def pretend(planned: Plan, as_json: bool, fresh: bool) -> None:
        ran.append(planned.experiment.name)
        left = fates.get(planned.experiment.name)
        raise left.pop(0) if left else typer.Exit(0)

    monkeypatch.setattr("testbed.cli.experiments.run_plan", pretend)
    with pytest.raises(typer.Exit) as ended:
        run("all", scale="quick", settings=None, stacks="", collect="", out=tmp_path, as_json=False)
    assert ended.value.exit_code == 1
    assert ran == [name for name in experiment_names() if name != "quickstart"]
    summary = capsys.readouterr().out.rpartition("\n\n")[2]
    printed = dict(line.split(maxsplit=1) for line in summary.splitlines())
    assert (printed["ab-microflows"], printed["bulk-veth"], printed["fairness"]) == (
        "unsupported here",
        "failed",
        "failed",
    )
    assert printed["time-wait"] == "passed"


def test_time_sequence_of_a_point(lab: Lab, tmp_path: Path) -> None:
    done = lab("timesequence", KERNEL, "--out", str(tmp_path))
    assert done.stdout.startswith("connection 1, sent by the server: data 60000 bytes in 43\n")
    assert sorted(path.suffix for path in (tmp_path / "figures").iterdir()) == [".pdf", ".png"]


def test_version(lab: Lab) -> None:
    assert lab("--version").stdout.startswith("mptcp-lab ")


def test_doctor_says_what_is_there(lab: Lab) -> None:
    findings = {entry["name"]: entry for entry in json.loads(lab("doctor", "--json").stdout)}
    assert findings["kernel: MPTCP"]["state"] in ("have", "missing")
    assert findings["program: tc"]["needed"]
    assert findings["program: ab"]["remedy"] == "apt-get install apache2-utils"
    for name, finding in findings.items():
        assert finding["use"], name
        assert finding["without"], name
        assert finding["remedy"], name


def test_doctor_is_a_table_with_what_a_missing_thing_costs(lab: Lab) -> None:
    findings = json.loads(lab("doctor", "--json").stdout)
    printed = lab("doctor").stdout
    assert all(finding["name"] in printed for finding in findings)
    first_words = {finding["without"].split()[0] for finding in findings if finding["state"] != "have"}
    assert all(word in printed for word in first_words)
