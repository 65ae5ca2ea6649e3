"""What objects of the lab and of results say of themselves, also those that could not be made to their end."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.load import Run, load_run
from testbed.host.hosts import Host
from testbed.lab import Lab
from testbed.runs.results import RunDirectory
from testbed.runs.runner import Plan, Runner
from testbed.show.progress import Lines
from testbed.spec.templates import load_topology
from tests.testbed.toy import Pretended, toy


@pytest.mark.parametrize("kind", [Lab, Host, Plan, Runner, RunDirectory, Run])
def test_one_that_is_not_made_says_so(kind: type) -> None:
    assert repr(kind.__new__(kind)) == f"<{kind.__name__} not made>"


def host(name: str) -> Host:
    topology = load_topology("two-paths")
    return Host(SimpleNamespace(name=name, pid=4711), topology.interfaces(name))  # type: ignore[arg-type]


def test_a_host_says_where_it_is() -> None:
    assert repr(host("client")) == "<Host client 10.0.1.1, 2 interfaces, pid 4711>"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "not running, 2 hosts, 2 links"),
        ({"hosts": {"client": None}}, "running, 2 hosts, 2 links"),
        (
            {"hosts": {"client": None}, "emulation": object(), "bond": object(), "calibration": [object()]},
            "running, 2 hosts, 2 links, emulator, bond, calibrated",
        ),
    ],
)
def test_a_lab_says_whether_it_runs_and_what_it_has(state: dict[str, Any], said: str) -> None:
    lab = Lab.__new__(Lab)
    lab.topology = load_topology("two-paths")
    lab._backend = SimpleNamespace(hosts=state.get("hosts", {}))  # type: ignore[assignment]
    lab._emulation, lab._bond, lab._calibration = (state.get(name) for name in ("emulation", "bond", "calibration"))
    assert repr(lab) == f"<Lab two-paths {said}>"


def test_a_run_says_what_it_has(tmp_path: Path) -> None:
    plan = Plan(toy(), tmp_path)
    runner = Runner(plan, Lines(), Pretended().environment)
    assert repr(plan) == "<Plan toy quick, 8 points, 2 stacks>"
    assert repr(runner) == "<Runner toy quick, 0 points measured, 8 planned>"
    runner.run()
    assert repr(runner) == "<Runner toy quick, 8 points measured, 8 planned>"
    assert repr(plan.directory) == f"<RunDirectory {tmp_path}/toy/{plan.directory.hash}>"
    assert repr(load_run(plan.directory.path)) == f"<Run toy-{plan.directory.hash} passed, 8 points, 2 stacks>"


def test_what_it_costs_does_not_grow_with_the_run() -> None:
    """A frame's own text is thousands of cells, and a manifest has all points."""
    manifest = {"experiment": "toy", "hash": "ab", "outcome": "passed", "stacks": ["kernel-tcp"]}
    run = Run(Path("toy/ab"), manifest | {"points": _NoText()}, pd.DataFrame({"stack": [_NoText()] * 10_000}))
    assert repr(run) == "<Run toy-ab passed, 10000 points, 1 stacks>"


class _NoText:
    def __repr__(self) -> str:
        raise AssertionError("was asked for its text")
