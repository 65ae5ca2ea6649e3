"""`./lab build`, `--pure`, and what commands say of which build of our stack runs."""

import os
import subprocess
import sys

import pytest

from mptcp_stack.build import make
from mptcp_stack.runtime.commands import cli as stack_cli
from testbed.cli import _with_pure_first
from tests.testbed.test_cli import PROJECT, Lab, lab  # noqa: F401

INTERRUPTED = make.BuildError("interrupted (log: /a/log)")
INTERRUPTED.__cause__ = KeyboardInterrupt()
STALE = "the stack runs as pure Python: what was compiled is of other sources; './lab build' compiles it"


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("run quickstart --pure", "--pure run quickstart"),
        ("--pure run quickstart", "--pure run quickstart"),
        ("exec two-paths --pure -- a python --pure", "--pure exec two-paths -- a python --pure"),
        ("exec two-paths -- a python --pure", "exec two-paths -- a python --pure"),
        ("", ""),
    ],
)
def test_pure_may_stand_anywhere(typed: str, read: str) -> None:
    assert _with_pure_first(typed.split()) == read.split()


def test_pure_is_for_all_that_is_started(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("MPTCP_LAB_PURE", "")
    assert lab("list", "--pure").returncode == 0
    assert os.environ["MPTCP_LAB_PURE"] == "1"


def test_the_version_says_which_form_runs() -> None:
    command = [sys.executable, "-m", "testbed", "--version", "--pure"]
    version = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    assert version.stdout.endswith(", stack: pure\n")
    assert version.stderr == ""


def test_that_sources_have_changed_is_one_line(
    lab: Lab,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("mptcp_stack.build._problem", "is of other sources")
    assert lab("list").stderr == f"lab: {STALE}\n"
    monkeypatch.setattr(sys, "argv", ["mptcp_stack", "--help"])
    with pytest.raises(SystemExit):
        stack_cli.main()
    assert capsys.readouterr().err == f"mptcp_stack: {STALE}\n"


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        (True, 0, ""),
        (False, 0, "lab: the core is compiled: nothing has changed\n"),
        (make.BuildError("no cc"), 1, "lab: the core is not compiled, our stack runs as pure Python: no cc\n"),
        (INTERRUPTED, 130, "lab: the core is not compiled, our stack runs as pure Python: interrupted (log: /a/log)\n"),
    ],
)
def test_build(
    outcome: bool | make.BuildError,
    code: int,
    said: str,
    lab: Lab,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(*_: object) -> bool:
        if isinstance(outcome, make.BuildError):
            raise outcome
        return outcome

    monkeypatch.setattr("mptcp_stack.build._problem", "is of other sources")
    monkeypatch.setattr(make, "build", build)
    done = lab("build")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)
