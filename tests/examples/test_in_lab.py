"""Examples in a lab: the topology and the scheduler, as their tops tell to run them, in less time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.schedulers import EXAMPLE
from testbed.spec.templates import load_topology
from tests.docs.commands import ROOT


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """The topology and its trace, outside the repository."""
    shutil.copy(ROOT / "examples/train.trace", tmp_path)
    return Path(shutil.copy(ROOT / "examples/train.yaml.j2", tmp_path))


def run(folder: Path, *words: str) -> str:
    """`./lab run` from a folder of the user's."""
    command = [sys.executable, "-P", "-m", "testbed", "run", *words, "--out", "r", "--set", "repetitions=1"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_trace_is_found_beside_the_topology(train: Path) -> None:
    mobile, satellite = load_topology(str(train), {"satellite": "2 Mbit/s"}).links
    assert mobile.trace is not None
    assert (mobile.trace.period_ms, len(mobile.trace.opportunities_ms)) == (3000, 501)
    assert satellite.rate_bps == 2_000_000


@pytest.mark.root
def test_a_transfer_over_the_topology(train: Path) -> None:
    asked = ("topology=./train.yaml.j2", "loads=bulk", "seconds=3")
    out = run(train.parent, "transfer", "--stacks", "kernel-tcp", *(word for one in asked for word in ("--set", one)))
    assert "outcome: passed" in out


@pytest.mark.root
def test_the_scheduler_in_the_experiment_of_schedulers(tmp_path: Path) -> None:
    stack = f"python-mptcp+scheduler={EXAMPLE}"
    asked = ("answers=30000", "seconds=1", "size=2 MB")
    out = run(tmp_path, "schedulers", "--stacks", stack, *(word for one in asked for word in ("--set", one)))
    assert "example: WaitForFast" in out
    assert "outcome: passed" in out
