import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.load import load_run
from mptcp_stack.build import running
from testbed.errors import LabError, Unsupported
from testbed.experiment import Bench, Point, resolve
from testbed.placement import ANYWHERE
from testbed.runs.formats import PointRecord
from testbed.runs.results import RunDirectory
from testbed.runs.runner import Plan, Runner
from testbed.show.progress import Lines
from testbed.spec import Topology
from testbed.stacks.measure import Measurement
from tests.testbed.toy import Pretended, Toy, toy

PROJECT = Path(__file__).resolve().parents[2]


def run(experiment: Toy, root: Path, pretended: Pretended | None = None, stacks: tuple[str, ...] = ()) -> str:
    pretended = pretended or Pretended()
    return Runner(Plan(experiment, root, stacks=stacks), Lines(), pretended.environment).run()


def manifest(root: Path) -> dict:
    (path,) = root.glob("toy/*/manifest.json")
    return json.loads(path.read_text())


def table(root: Path) -> pd.DataFrame:
    (path,) = root.glob("toy/*/results.csv")
    return pd.read_csv(path)


def test_all_points_are_measured_and_tabulated(tmp_path: Path) -> None:
    experiment, pretended = toy(), Pretended()
    assert run(experiment, tmp_path, pretended) == "passed"
    assert len(experiment.measured) == 8
    assert len(pretended.opened) == pretended.closed == 2, "one lab a stack"
    rows = table(tmp_path)
    assert list(rows["stack"]) == ["kernel-tcp"] * 4 + ["python-tcp"] * 4
    assert list(rows["doubled"]) == [20, 40] * 4
    assert list(rows["nested_half"]) == [5, 10] * 4


def test_finished_points_are_not_measured_again(tmp_path: Path) -> None:
    run(toy(), tmp_path)
    again, pretended = toy(), Pretended()
    assert run(again, tmp_path, pretended) == "passed"
    assert again.measured == []
    assert pretended.opened == []


def test_files_that_a_killed_run_left_behind_its_points_are_written_anew(tmp_path: Path) -> None:
    run(toy(), tmp_path)
    (table_path,) = tmp_path.glob("toy/*/results.csv")
    table_path.unlink()
    before = manifest(tmp_path) | {"outcome": "incomplete", "points": {}}
    table_path.with_name("manifest.json").write_text(json.dumps(before))
    run(toy(), tmp_path)
    assert len(table(tmp_path)) == len(manifest(tmp_path)["points"]) == 8
    assert manifest(tmp_path)["outcome"] == "passed"


def test_result_does_not_rename_a_factor() -> None:
    result = {"size": 2, "stack": {"counters": 3}, "rate": 4.0}
    record = PointRecord.model_construct(
        stack="s", repetition=1, factors={"size": 1}, outcome="passed", why=[], result=result
    )
    assert list(record.row().items()) == [
        ("stack", "s"), ("repetition", 1), ("size", 1), ("outcome", "passed"), ("why", ""), ("build", None),
        ("stack_counters", 3), ("rate", 4.0),
    ]  # fmt: skip


def test_points_have_the_build_that_their_programs_said(tmp_path: Path) -> None:
    experiment = toy()
    experiment.build = "pure"
    assert run(experiment, tmp_path, stacks=("python-tcp+build=pure",)) == "passed"
    assert list(table(tmp_path)["build"]) == ["pure"] * 4
    assert {point["build"] for point in manifest(tmp_path)["points"].values()} == {"pure"}
    assert manifest(tmp_path)["sessions"][0]["build"] == running()


@pytest.mark.parametrize("said", ["compiled", "mixed"])
def test_another_build_than_was_asked_for_fails_the_point(tmp_path: Path, said: str) -> None:
    experiment = toy()
    experiment.build = said
    assert run(experiment, tmp_path, stacks=("python-tcp+build=pure",)) == "failed"
    assert set(table(tmp_path)["why"]) == {f"our stack's build: pure was asked for, programs ran {said}"}
    assert set(table(tmp_path)["build"]) == {said}


def test_other_parameters_are_another_run(tmp_path: Path) -> None:
    run(toy(), tmp_path)
    other = resolve(Toy, "quick", ["seed=2"])
    run(other, tmp_path)
    assert len(other.measured) == 8
    assert len(list(tmp_path.glob("toy/*/manifest.json"))) == 2


def test_stacks_of_one_specification_share_a_directory(tmp_path: Path) -> None:
    run(toy(), tmp_path, stacks=("python-tcp",))
    rest = toy()
    run(rest, tmp_path)
    assert {key.split(".")[0] for key in rest.measured} == {"kernel-tcp"}
    assert len(table(tmp_path)) == 8


def test_interrupted_point_is_measured_again_and_nothing_half_written_counts(tmp_path: Path) -> None:
    experiment, pretended = toy(), Pretended()

    def interrupt(point: Point) -> None:
        if len(experiment.measured) == 3:
            raise KeyboardInterrupt

    experiment.react = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(experiment, tmp_path, pretended)
    assert pretended.closed == len(pretended.opened) == 1
    assert manifest(tmp_path)["outcome"] == "incomplete"
    assert manifest(tmp_path)["sessions"][0]["ended"]
    assert len(table(tmp_path)) == len(list(tmp_path.glob("toy/*/points/*"))) == 3

    resumed = toy()
    assert run(resumed, tmp_path) == "passed"
    assert len(resumed.measured) == 5
    assert not set(resumed.measured) & set(experiment.measured)
    assert [point["session"] for point in manifest(tmp_path)["points"].values()] == [0] * 3 + [1] * 5


SCRIPT = """
import sys, time
from pathlib import Path
from testbed.show.progress import Lines
from testbed.runs.runner import Plan, Runner
from testbed.spec import Topology
from testbed.stacks.measure import Measurement
from tests.testbed.toy import Pretended, toy
experiment = toy()
def wait(point):
    if len(experiment.measured) == 2:
        print("third", flush=True)
        time.sleep(60)
experiment.react = wait
Runner(Plan(experiment, Path(sys.argv[1])), Lines(), Pretended().environment).run()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signal_in_the_middle_then_resume(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"third\n"
    os.kill(process.pid, number)
    assert process.wait(20) != 0
    process.stdout.close()

    resumed = toy()
    assert run(resumed, tmp_path) == "passed"
    assert len(resumed.measured) == 6
    assert not list(tmp_path.glob("toy/*/points/*.unfinished"))
    assert all((point / "raw.txt").exists() for point in tmp_path.glob("toy/*/points/*"))


def test_failed_check_fails_the_run_but_not_other_points(tmp_path: Path) -> None:
    experiment = toy()
    experiment.react = lambda point: ["bytes were lost"] if point.repetition == 2 else None
    assert run(experiment, tmp_path) == "failed"
    assert len(experiment.measured) == 8
    assert "kernel-tcp.size_bytes-10.r2: bytes were lost" in manifest(tmp_path)["why"]

    mended = toy()
    assert run(mended, tmp_path) == "passed"
    assert len(mended.measured) == 4, "only what failed"
    assert len(list(tmp_path.glob("toy/*/failed/*.1/point.json"))) == 4, "the failed attempts are kept"


@pytest.mark.parametrize(
    ("error", "outcome", "why"),
    [
        (LabError("no server"), "failed", "no server"),
        (Unsupported("no such qdisc"), "unsupported", "no such qdisc"),
        (ZeroDivisionError("oops"), "failed", "ZeroDivisionError: oops (see error.txt)"),
    ],
)
def test_error_in_a_point_is_its_outcome(tmp_path: Path, error: Exception, outcome: str, why: str) -> None:
    experiment = toy()

    def fail(point: Point) -> None:
        raise error

    experiment.react = fail
    assert run(experiment, tmp_path) == outcome
    points = manifest(tmp_path)["points"]
    assert {point["outcome"] for point in points.values()} == {outcome}
    whys = {re.sub(r"\(/.*test_runner.py:\d+\) ", "", point["why"][0]) for point in points.values()}
    assert whys == {why}
    assert len(list(tmp_path.glob("toy/*/points/*/error.txt"))) == (8 if "error.txt" in why else 0)


def test_stack_that_cannot_be_prepared_is_unsupported(tmp_path: Path) -> None:
    experiment, pretended = toy(), Pretended()

    def refuse() -> None:
        raise Unsupported("the kernel has no MPTCP")

    pretended.prepare = refuse
    assert run(experiment, tmp_path, pretended) == "unsupported"
    assert experiment.measured == []


def test_lab_that_is_not_as_asked_stops_the_run(tmp_path: Path) -> None:
    pretended = Pretended()

    def broken(topology: object) -> None:
        raise LabError("path1: asked 50 Mbit/s, measured 40")

    pretended._open_lab = broken  # type: ignore[assignment, method-assign]
    with pytest.raises(LabError, match="path1"):
        run(toy(), tmp_path, pretended)
    assert manifest(tmp_path)["outcome"] == "incomplete"


def test_lab_that_is_not_as_asked_is_built_again_after_the_others(tmp_path: Path) -> None:
    pretended, experiment = Pretended(), toy()
    built = pretended._open_lab
    refusals = iter([LabError("path1: asked 50 Mbit/s, measured 40", 1)])

    def busy(topology: Topology) -> AbstractContextManager:
        if error := next(refusals, None):
            raise error
        return built(topology)

    pretended._open_lab = busy  # type: ignore[method-assign]
    assert run(experiment, tmp_path, pretended) == "passed"
    stacks = [key.partition(".")[0] for key in experiment.measured]
    assert stacks == ["python-tcp"] * 4 + ["kernel-tcp"] * 4


def test_lab_that_is_never_as_asked_costs_its_own_points_alone(tmp_path: Path) -> None:
    pretended, experiment = Pretended(), toy()
    built = pretended._open_lab
    refusals = iter([LabError("path1: measured 40", 1), None, LabError("path1: measured 41", 1)])

    def busy(topology: Topology) -> AbstractContextManager:
        if error := next(refusals, None):
            raise error
        return built(topology)

    pretended._open_lab = busy  # type: ignore[method-assign]
    with pytest.raises(LabError, match="measured 41"):
        run(experiment, tmp_path, pretended)
    assert len(experiment.measured) == 4
    assert manifest(tmp_path)["outcome"] == "incomplete"


def test_manifest_says_where_results_come_from(tmp_path: Path) -> None:
    run(toy(), tmp_path)
    written = manifest(tmp_path)
    assert written["specification"]["parameters"] == {
        "repetitions": 2, "seed": 1, "sizes": [10, 20], **ANYWHERE.model_dump()
    }  # fmt: skip
    assert written["specification"]["topologies"][0]["links"][0]["name"] == "path1"
    (session,) = written["sessions"]
    assert {"began", "ended", "command_line", "git", "kernel", "packages", "cpu", "version"} <= set(session)
    assert session["kernel"].startswith("Linux")
    assert session["cpu"]["usable"] == sorted(os.sched_getaffinity(0))
    assert re.fullmatch(r"[0-9a-f]{40}|None", str(session["git"]["commit"]))
    lab = written["labs"][0]
    assert lab["calibration"][0]["asked_bps"] == 50_000_000
    assert lab["sysctls"] == {}
    assert lab["congestion"] == "cubic"
    point = written["points"]["python-tcp.size_bytes-20.r1"]
    assert point["outcome"] == "passed"
    assert point["lab"] == 1
    assert point["placement"] == {"asked": ANYWHERE.model_dump()}
    assert isinstance(point["seed"], int)


def test_run_with_collectors_has_a_directory_of_its_own_and_says_so(tmp_path: Path) -> None:
    plain, watched = Plan(toy(), tmp_path), Plan(toy(), tmp_path, collect=["cpu", "sockets+interval=1s"])
    assert plain.directory.path != watched.directory.path
    assert "collectors" not in plain.directory.specification
    Runner(watched, Lines(), Pretended().environment).run()
    assert manifest(tmp_path)["collectors"] == {"required": [], "added": ["cpu", "sockets+interval=1s"]}


def test_what_came_of_collectors_is_in_the_manifest(tmp_path: Path) -> None:
    experiment = toy()
    run_point = experiment.run_point
    record = {"outcome": "failed", "why": "it broke", "cpu_s": 0.5, "files": ["cpu.jsonl"]}

    def watched(bench: Bench, point: Point) -> Measurement:
        return replace(run_point(bench, point), collectors={"cpu": record})

    experiment.run_point = watched  # type: ignore[method-assign]
    assert run(experiment, tmp_path) == "passed"
    point = manifest(tmp_path)["points"]["python-tcp.size_bytes-20.r1"]
    assert point["collectors"] == {"cpu": {"outcome": "failed", "why": "it broke", "cpu_s": 0.5}}


def test_seed_is_the_same_for_every_stack_and_differs_between_repetitions() -> None:
    experiment = toy()
    seeds = {(p.stack, p.repetition): experiment.point_seed(p) for p in experiment.points(Toy.stacks)}
    assert seeds["kernel-tcp", 1] == seeds["python-tcp", 1] != seeds["kernel-tcp", 2]


def test_two_runs_cannot_write_to_one_directory(tmp_path: Path) -> None:
    experiment = toy()
    directory = RunDirectory(tmp_path, experiment.name, experiment.specification())
    with directory.locked(), pytest.raises(LabError, match="another run is writing here"):
        run(experiment, tmp_path)


def test_analysis_reads_what_the_runner_wrote(tmp_path: Path) -> None:
    experiment = toy()
    run(experiment, tmp_path)
    (path,) = tmp_path.glob("toy/*")
    read = load_run(path)
    assert read.stacks == ["kernel-tcp", "python-tcp"]
    assert read.parameters["repetitions"] == 2
    assert len(read.passed) == 8


def test_lines_estimate_the_remaining_time(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.begin(2, 10.0)
    lines.point_begins("a", 5.0)
    time.sleep(0.02)
    lines.point_ends("a", "failed", ["bytes were lost"], 5.0)
    assert capsys.readouterr().err == "1/2 a: failed (bytes were lost), 5.0 s, about 0 s left\n"
