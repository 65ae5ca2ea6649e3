"""A result is of the code that made it: what belongs to a point, what makes it stale, what becomes of it then."""

import ast
import json
import py_compile
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis import code, figures, notebooks, origin, style
from analysis.load import find_runs, load_run
from analysis.notebooks.tools.keep import reduced
from experiments.schedulers import EXAMPLE
from mptcp_stack.build.unit import STACK
from testbed.cli.experiments import _reasons
from testbed.errors import LabError
from testbed.experiment import Experiment, Point, experiment_class, experiment_names, resolve
from testbed.runs.code import COPIES, CORE, Code, differing
from testbed.runs.runner import Plan, Runner
from testbed.show.progress import Lines
from testbed.stacks import create
from tests.testbed.toy import Pretended, Toy, toy

PROJECT = Path(__file__).resolve().parents[2]
MINE = "python-mptcp+scheduler=mine:Weighted"
STACKS = ("kernel-tcp", MINE)
SCHEDULER = """\
from mptcp_stack.mptcp.scheduler.base import Scheduler
class Weighted(Scheduler):
    best = min
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a user's modules, on the path."""
    folder = tmp_path / "own"
    folder.mkdir()
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what of the project counts, that is looked at in its place."""
    folder = tmp_path / "checkout"
    for name in ("mptcp_stack", "testbed", "experiments"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PROJECT", folder)
    return folder


def write(place: Path, text: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def plan(root: Path, experiment: Toy | None = None, **options: Any) -> Plan:
    return Plan(experiment or toy(), root, stacks=STACKS, **options)


def measure(root: Path, experiment: Toy | None = None, **options: Any) -> list[str]:
    """Run the toy; return the points that were measured."""
    experiment = experiment or toy()
    Runner(plan(root, experiment, **options), Lines(), Pretended().environment).run()
    return experiment.measured


def parts(stack: str, experiment: Experiment[Any] | None = None, asked: Mapping[str, Any] | None = None) -> set[str]:
    return set(Code().parts(experiment or toy(), stack, create(stack), asked or {}))


def own_parts(stack: str, asked: Mapping[str, Any] | None = None) -> set[str]:
    """Without those of the lab and the toy."""
    return parts(stack, asked=asked) - parts("python-mptcp") - parts("kernel-tcp")


# --- which build of our stack


def test_a_compiled_core_is_a_part_of_the_points_that_it_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stacks = ("kernel-tcp", "python-mptcp", "python-mptcp+build=pure")
    monkeypatch.setattr("testbed.stacks.base.running", lambda: "pure")
    pure = {stack: Code().parts(toy(), stack, create(stack), {}) for stack in stacks}
    assert not any(CORE in parts for parts in pure.values())
    monkeypatch.setattr("testbed.stacks.base.running", lambda: "compiled")
    compiled = {stack: Code().parts(toy(), stack, create(stack), {}) for stack in stacks}
    changed = {stack: differing(pure[stack], compiled[stack]) for stack in stacks}
    assert changed == {"kernel-tcp": [], "python-mptcp": [CORE], "python-mptcp+build=pure": []}
    assert compiled["python-mptcp"][CORE] == STACK.key()
    code = Code()
    code.copy(code.parts(toy(), "python-mptcp", create("python-mptcp"), {}), tmp_path)
    assert not list(tmp_path.glob(f"{COPIES}/*/{CORE}"))


# --- what is stale, and measured anew


def test_a_scheduler_that_was_edited_is_measured_anew(places: Path, tmp_path: Path) -> None:
    mine = write(places / "mine.py", SCHEDULER)
    assert len(measure(tmp_path / "results")) == 8
    assert plan(tmp_path / "results").pending() == []
    mine.write_text(SCHEDULER.replace("min", "max"))
    planned = plan(tmp_path / "results")
    standing = planned.standing()
    assert len(standing.passed) == len(standing.stale) == 4
    assert {tuple(changed) for changed in standing.stale.values()} == {("mine.py",)}
    assert _reasons(standing) == [f"mine.py: {next(iter(standing.stale))} and 3 more"]
    assert planned.outcome() == "incomplete"
    again = measure(tmp_path / "results")
    assert {key.partition(".size")[0] for key in again} == {MINE.replace(":", "-")}
    assert len(again) == 4
    assert plan(tmp_path / "results").outcome() == "passed"
    (run,) = find_runs(tmp_path / "results")
    assert len(list(run.path.glob("stale/*.1/raw.txt"))) == 4, "what was measured before is kept"
    kept = [path.read_text() for path in run.path.glob(f"{COPIES}/*/mine.py")]
    assert sorted(kept) == sorted([SCHEDULER, SCHEDULER.replace("min", "max")])
    assert [session["code"]["mine.py"] for session in run.manifest["sessions"]] == [
        code.digest(text.encode()) for text in (SCHEDULER, SCHEDULER.replace("min", "max"))
    ]


def test_what_is_kept_in_spite_of_a_change_says_so_everywhere(places: Path, tmp_path: Path) -> None:
    mine = write(places / "mine.py", SCHEDULER)
    measure(tmp_path / "results")
    (path,) = (tmp_path / "results").glob("toy/*")
    assert load_run(path).stale == ""
    mine.write_text(SCHEDULER.replace("min", "max"))
    assert measure(tmp_path / "results", reuse=True) == []
    run = load_run(path)
    assert run.stale == "stale: 4 of 8 points with other code (mine.py)"
    assert origin.environment(run)["code"] == run.stale
    assert plan(tmp_path / "results", reuse=True).outcome() == "passed"
    mine.unlink()
    assert load_run(path).stale == "", "where the user's module is not, there is nothing to compare with"


def test_figure_and_table_say_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    style.apply()
    for name in ("bulk-veth", "fairness"):  # one with a caption at its foot, one without
        run = notebooks.open_run(name)
        monkeypatch.setattr(type(run), "stale", "")
        assert "stale" not in f"{figures.table(run).caption} {figures.draw(run).get_supxlabel()}"
        monkeypatch.setattr(type(run), "stale", "stale: measured with other code (mptcp_stack)")
        assert str(figures.table(run).caption).splitlines()[-1] == run.stale
        assert figures.draw(run).get_supxlabel().splitlines()[-1] == run.stale


def test_points_of_before_are_stale(places: Path, tmp_path: Path) -> None:
    write(places / "mine.py", SCHEDULER)
    measure(tmp_path)
    (path,) = tmp_path.glob("toy/*")
    for point in path.glob("points/*/point.json"):
        document = json.loads(point.read_text())
        del document["code"]
        point.write_text(json.dumps(document))
    document = json.loads((path / "manifest.json").read_text())
    del document["code"]
    (path / "manifest.json").write_text(json.dumps(document))
    assert load_run(path).stale == "stale: measured before results recorded their code"
    assert len(plan(tmp_path).standing().stale) == 8
    assert len(measure(tmp_path)) == 8
    assert load_run(path).stale == ""


CHANGES: Mapping[str, set[str]] = {
    "mptcp_stack/tcp/sender.py": {MINE},
    "mptcp_stack/new/module.py": {MINE},
    "testbed/loadgen/client.py": set(STACKS),
    "testbed/loadgen/apache2.conf.j2": set(STACKS),
    "testbed/cli/experiments.py": set(),
    "testbed/loadgen/.client.py.swp": set(),
    "testbed/loadgen/client.py~": set(),
    "testbed/loadgen/__pycache__/client.cpython-311.pyc": set(),
    "testbed/notes.txt": set(),
    "docs/stack.md": set(),
    "examples/scheduler.py": set(),
    "tests/testbed/test_code.py": set(),
    "analysis/load.py": set(),
    "experiments/schedulers.py": set(),
}
"""A file of the checkout, and the stacks whose points it makes stale when it changes."""


def test_a_change_in_the_checkout_is_one_of_the_points_that_use_it(checkout: Path, places: Path) -> None:
    write(places / "mine.py", SCHEDULER)
    before = {stack: Code().parts(toy(), stack, create(stack), {}) for stack in STACKS}
    codes = [{"parts": before[stack], "points": 4} for stack in STACKS]
    for file, stale in CHANGES.items():
        place = checkout / file
        earlier = place.read_bytes() if place.exists() else None
        write(place, f"{(earlier or b'').decode()}\n# changed\n")
        after = {stack: Code().parts(toy(), stack, create(stack), {}) for stack in STACKS}
        assert {stack for stack in STACKS if before[stack] != after[stack]} == stale, file
        words = code.staleness(codes, 8)
        assert ("stale" in words) == bool(stale), file
        assert ("4 of 8 points" in words) == (stale == {MINE}), file
        place.unlink()
        if earlier is not None:
            place.write_bytes(earlier)
    assert code.staleness(codes, 8) == ""


def test_the_example_of_a_scheduler_counts_for_its_own_points_alone() -> None:
    schedulers = resolve(experiment_class("schedulers"), None, [])
    found = {stack: {name for name in parts(stack, schedulers) if "examples" in name} for stack in schedulers.stacks}
    assert found.pop(f"python-mptcp+scheduler={EXAMPLE}") == {"examples/scheduler.py"}
    assert not any(found.values())


EXPERIMENT_FILES = {
    name: f"experiments/{name.replace('-', '_')}/__init__.py" for name in ("receive-algorithms", "why-slower")
}
"""Of experiments that are packages."""


@pytest.mark.parametrize("name", experiment_names())
def test_parts_of_every_experiment(name: str) -> None:
    experiment = resolve(experiment_class(name), None, [])
    for stack in experiment.stacks:
        found = parts(stack, experiment)
        assert {"testbed", EXPERIMENT_FILES.get(name, f"experiments/{name.replace('-', '_')}.py")} <= found
        assert f"topologies/{experiment.topology}.yaml.j2" in found
        assert ("mptcp_stack" in found) == (stack.startswith("python") or name == "handover"), stack
    assert ("experiments/ab_microflows.py" in found) == (name in ("quickstart", "ab-microflows"))
    assert "topologies/macros.j2" in found
    assert ("analysis/capture.py" in found) == (name == "setup-latency")


def test_what_is_beside_an_experiment_in_its_package_is_a_part(checkout: Path) -> None:
    experiment = resolve(experiment_class("receive-algorithms"), None, [])
    (stack,) = experiment.stacks
    found = Code().parts(experiment, stack, create(stack), {})
    codes = [{"parts": found, "points": 1}]
    assert code.staleness(codes, 1) == ""
    beside = "experiments/receive_algorithms/queues.py"
    write(checkout / beside, f"{(checkout / beside).read_text()}\n# changed\n")
    assert code.staleness(codes, 1) == f"stale: measured with other code ({beside})"


def test_what_measures_uses_of_analysis_no_more_than_counts() -> None:
    """The rest reads and writes files, and says what is wrong with them."""
    allowed = {"analysis.errors", "analysis.files", "analysis.code", "analysis"}
    found: dict[str, set[str]] = {}
    for path in code.tree_files(PROJECT / "testbed", code.TREES["testbed"]):
        for node in ast.walk(ast.parse(path.read_bytes())) if path.suffix == ".py" else ():
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name and name.startswith("analysis") and name not in allowed:
                    found.setdefault(str(path.relative_to(PROJECT)), set()).add(name)
    # The second is for the name of an error.
    assert found == {"testbed/stacks/setup.py": {"analysis.capture", "analysis.collected"}}


# --- what belongs to a user's module


def test_modules_that_a_user_s_module_imports(places: Path) -> None:
    write(places / "mine.py", "import json, helper\nfrom package import part\ndef later():\n    import lazy\n")
    write(places / "helper.py", "import importlib\nimportlib.import_module('by_name')\n")
    write(places / "lazy.py", "from space.deep import there\n")
    write(places / "space" / "deep" / "there.py", "")  # without __init__.py: a namespace
    write(places / "by_name.py", "import mine")
    write(places / "package" / "__init__.py", "from . import sibling")
    write(places / "package" / "part.py", "from .sub.leaf import x\nfrom ..nowhere import y")
    write(places / "package" / "sibling.py", "")
    write(places / "package" / "sub" / "__init__.py", "")
    write(places / "package" / "sub" / "leaf.py", "x = 1")
    write(places / "unrelated.py", "")
    assert own_parts(MINE) == {
        "mine.py", "helper.py", "lazy.py", "space/deep/there.py", "by_name.py", "package/__init__.py",
        "package/part.py", "package/sibling.py", "package/sub/__init__.py", "package/sub/leaf.py",
    }  # fmt: skip


def test_what_the_text_does_not_tell_is_asked_of_python(places: Path) -> None:
    write(places / "mine.py", "from importlib import import_module\nimport_module('hid' + 'den')\n")
    write(places / "hidden.py", f"import {STACK.library}")
    write(places / f"{STACK.library}.py", "")  # what has been compiled is a module, too
    assert own_parts(MINE) == {"mine.py", "hidden.py"}
    write(places / "mine.py", "import os, sys\nsys.path.append(os.path.dirname(__file__) + '/more')\nimport added\n")
    write(places / "more" / "added.py", "")
    assert own_parts(MINE) == {"mine.py", "added.py"}


def test_module_without_its_text(places: Path) -> None:
    source = write(places / "mine.py", "import helper")
    write(places / "helper.py", "")
    py_compile.compile(str(source), str(places / "mine.pyc"), doraise=True)
    source.unlink()
    assert own_parts(MINE) == {"mine.pyc", "helper.py"}


def test_module_that_does_not_compile_counts_with_its_bytes(places: Path) -> None:
    write(places / "mine.py", "class Weighted(:\n")
    assert own_parts(MINE) == {"mine.py"}


def test_a_stack_of_a_user_s_counts_with_what_its_text_names(places: Path) -> None:
    stack = """\
from testbed.stacks.{module} import {base}
import helper
class Mine({base}):
    name, label = "mine", "mine"
    settings = ("scheduler=sched:Weighted",)
"""
    write(places / "stack.py", stack.format(module="python_mptcp", base="PythonMptcp"))
    write(places / "helper.py", "")
    write(places / "sched.py", SCHEDULER)
    assert own_parts("stack:Mine") == {"stack.py", "helper.py", "sched.py"}
    assert "mptcp_stack" in parts("stack:Mine")
    write(places / "kernels.py", stack.format(module="kernel_tcp", base="KernelTcp").replace("sched:", "nothing:"))
    assert own_parts("kernels:Mine") == {"kernels.py", "helper.py"}
    assert "mptcp_stack" not in parts("kernels:Mine")


@pytest.mark.parametrize(
    "stack",
    ["python-mptcp@mine:C", "python-mptcp+congestion=mine:C", "python-mptcp+path_manager=mine:P:4+scheduler=blest"],
)
def test_every_place_of_a_plug_in_counts(stack: str, places: Path) -> None:
    write(places / "mine.py", "")
    assert own_parts(stack) == {"mine.py"}


def test_collectors_middleboxes_and_parameters_count(places: Path, tmp_path: Path) -> None:
    for name in ("collector", "box", "parameter"):
        write(places / f"{name}.py", "")
    trace = write(tmp_path / "my.trace", "1\n2\n")
    asked = {
        "collectors": ["collector:Watch+interval=1s"],
        "topologies": [
            {
                "links": [
                    {
                        "middleboxes": [{"kind": "box:Drop"}],
                        "trace": {"file": str(trace), "sha256": code.digest(trace.read_bytes())},
                    }
                ]
            }
        ],
        "parameters": {"which": "parameter:Class", "cases": ["10/4:10/100"]},
    }
    assert own_parts("kernel-tcp", asked) == {"collector.py", "box.py", "parameter.py", "my.trace"}


def test_an_experiment_of_a_user_s_counts_with_what_stands_beside_it(places: Path) -> None:
    experiment = """\
import beside
from tests.testbed.toy import Toy
class Own(Toy):
    name = "own"
"""
    write(places / "own_experiment.py", experiment)
    write(places / "beside.py", "")
    found = parts("kernel-tcp", resolve(experiment_class(str(places / "own_experiment.py")), None, []))
    assert {"own_experiment.py", "beside.py", "tests/testbed/toy.py"} <= found
    assert not [part for part in found if part.startswith("experiments/")]


def test_templates_count_with_what_they_import(tmp_path: Path) -> None:
    write(tmp_path / "net.yaml.j2", "{# summary: x #}{% extends 'base.yaml.j2' %}{% import 'macros.j2' as lab %}")
    write(tmp_path / "base.yaml.j2", "{# summary: x #}{% include 'part.j2' %}")
    write(tmp_path / "part.j2", "")
    experiment = resolve(Toy, None, [f"topology={tmp_path / 'net.yaml.j2'}"])
    found = parts("kernel-tcp", experiment)
    assert {"net.yaml.j2", "base.yaml.j2", "part.j2", "topologies/macros.j2"} <= found
    assert "topologies/two-paths.yaml.j2" not in found


# --- while it runs


def test_a_change_under_a_run_ends_it_and_what_was_measured_stays_true(places: Path, tmp_path: Path) -> None:
    mine, experiment = write(places / "mine.py", SCHEDULER), toy()

    def edit(point: Point) -> None:
        if point.stack == MINE and len(experiment.measured) == 5:
            mine.write_text(SCHEDULER.replace("min", "max"))

    experiment.react = edit
    with pytest.raises(LabError, match=r"mine\.py: has changed since this run began"):
        measure(tmp_path / "results", experiment)
    (run,) = find_runs(tmp_path / "results")
    assert len(run.points) == 5, "the point that it changed under does not count"
    assert not list(run.path.glob("points/*.unfinished"))
    standing = plan(tmp_path / "results").standing()
    assert (len(standing.passed), len(standing.stale), len(standing.new)) == (4, 1, 3)
    assert len(measure(tmp_path / "results")) == 4


def test_a_change_between_two_runs_of_one_program_is_one_too(places: Path, tmp_path: Path) -> None:
    """It may have loaded the module before."""
    mine, known = write(places / "mine.py", SCHEDULER), Code()
    measure(tmp_path / "a", code=known)
    mine.write_text(SCHEDULER.replace("min", "max"))
    with pytest.raises(LabError, match=r"mine\.py: has changed"):
        measure(tmp_path / "b", code=known)


def test_fresh_keeps_the_earlier_run_beside_and_the_latest_is_the_new_one(places: Path, tmp_path: Path) -> None:
    write(places / "mine.py", SCHEDULER)
    assert plan(tmp_path).directory.set_aside() is None
    measure(tmp_path)
    for number in (1, 2):
        planned = plan(tmp_path)
        beside = planned.directory.set_aside()
        assert beside == planned.directory.path.with_name(f"{planned.directory.hash}.{number}")
        assert find_runs(tmp_path)[-1].path == beside, "nothing newer yet"
        assert len(measure(tmp_path)) == 8
        runs = find_runs(tmp_path)
        assert runs[-1].path == planned.directory.path
        assert len({run.name for run in runs}) == len(runs) == number + 1, "each has figures of its own"


def test_kept_runs_keep_what_they_were_measured_with(places: Path, tmp_path: Path) -> None:
    write(places / "mine.py", SCHEDULER)
    measure(tmp_path)
    (run,) = find_runs(tmp_path)
    kept = reduced(run.manifest | {"labs": []})
    assert kept["code"] == run.manifest["code"]
    assert kept["networks"] == run.manifest["networks"]
    assert [entry["stacks"] for entry in kept["code"]] == [["kernel-tcp"], [MINE]]
    assert sum(entry["points"] for entry in kept["code"]) == 8
    assert str(tmp_path) not in json.dumps(kept["code"])
